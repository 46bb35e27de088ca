"""Distorted and restored images: direction, references, splits by reference."""

from statistics import fmean, pstdev

import pytest

from pondera.core.records import LabelScale
from pondera.errors import DatasetError


def test_kadid_is_higher_better_and_split_by_reference(replica, facts):
    replica.table(
        "dmos.csv",
        "dist_img,ref_img,dmos,var",
        "I01_01_01.png,I01.png,4.57,0.496",
        "I07_10_05.png,I07.png,1.1,0.3",
        "I19_25_03.png,I19.png,2.0,0.25",
    )
    names = ("I01_01_01", "I07_10_05", "I19_25_03", "I01", "I07", "I19")
    replica.files(*(f"images/{name}.png" for name in names))
    samples = replica.load("kadid10k")
    assert facts(samples, "split") == ["train", "val", "test"]
    assert facts(samples, "mos") == [4.57, 1.1, 2.0]
    assert facts(samples, "content") == ["kadid10k/I01", "kadid10k/I07", "kadid10k/I19"]
    assert facts(samples, "subset") == ["gaussian blur", "jpeg", "contrast change"]
    assert samples[1].meta == {"level": 5, "adapter_version": 2}
    assert samples[1].path("reference").endswith("images/I07.png")


def test_kadid_var_is_a_standard_deviation_and_no_variance(replica):
    """The owner's first row: 17 ratings of 5 and 13 of 4 have the mean 4.567 and the standard deviation 0.4955."""
    ratings = [5] * 17 + [4] * 13
    assert (round(fmean(ratings), 2), round(pstdev(ratings), 3)) == (4.57, 0.496)
    replica.table("dmos.csv", "dist_img,ref_img,dmos,var", "I01_01_01.png,I01.png,4.57,0.496")
    replica.files("images/I01_01_01.png", "images/I01.png")
    assert replica.load("kadid10k")[0].mos_std == 0.496


def test_kadid_splits_hold_49_16_and_16_references():
    from pondera.data.adapters.synthetic import KADID10k

    assert (len(KADID10k._VAL), len(KADID10k._TEST)) == (16, 16)
    assert not KADID10k._VAL & KADID10k._TEST and max(KADID10k._VAL | KADID10k._TEST) <= 81


def test_tid2013_finds_files_whatever_their_letter_case(replica, facts):
    replica.table("mos_with_names.txt", "5.51429 I01_01_1.bmp", "3.25 i01_24_5.bmp")
    replica.table("mos_std.txt", "0.13013", "0.2")
    replica.files("distorted_images/i01_01_1.bmp", "distorted_images/I01_24_5.BMP", "reference_images/I01.BMP")
    samples = replica.load("tid2013")
    assert facts(samples, "mos") == [5.51429, 3.25] and facts(samples, "mos_std") == [0.13013, 0.2]
    assert set(facts(samples, "content")) == {"tid2013/I01"}
    assert facts(samples, "subset") == ["gaussian noise", "sparse sampling"]


def test_tid2013_needs_a_deviation_for_every_label(replica):
    replica.table("mos_with_names.txt", "5.51429 I01_01_1.bmp", "3.25 I01_24_5.bmp")
    replica.table("mos_std.txt", "0.13013")
    with pytest.raises(DatasetError, match="1 lines for 2 labels"):
        replica.load("tid2013")


def test_csiq_turns_dmos_around_and_finds_its_header(replica, facts):
    """The owner's sheet begins in column D of row 4; a .csv saved from it keeps the empty cells."""
    replica.table(
        "csiq.DMOS.csv",
        ",,,,,,,,",
        ",,,image,dst_idx,dst_type,dst_lev,dmos_std,dmos",
        ",,,1600,1,noise,1,0.061,0.062",
        ",,,boston,3,jpeg 2000,5,0.1,1.0",
    )
    replica.files("dst_imgs/awgn/1600.AWGN.1.png", "dst_imgs/jpeg2000/boston.jpeg2000.5.png")
    replica.files("src_imgs/1600.png", "src_imgs/boston.png")
    samples = replica.load("csiq")
    assert facts(samples, "mos") == [pytest.approx(0.938), 0.0]
    assert facts(samples, "content") == ["csiq/1600", "csiq/boston"]


def test_csiq_finds_files_whatever_its_folders_are_called(replica):
    """Copies have dst_imgs/awgn/, dst_imgs/AWGN/ or everything in one folder."""
    header = "image,dst_idx,dst_type,dst_lev,dmos_std,dmos"
    replica.table("csiq.DMOS.csv", header, "1600,1,noise,1,0.061,0.062", "1600,2,jpeg,2,0.1,0.2")
    replica.files("dst_imgs/AWGN/1600.AWGN.1.png", "dst_imgs/1600.JPEG.2.png", "src_imgs/1600.png")
    noise, jpeg = replica.load("csiq")
    assert noise.path().endswith("dst_imgs/AWGN/1600.AWGN.1.png") and jpeg.path().endswith("dst_imgs/1600.JPEG.2.png")


def test_live_leaves_pristine_copies_out_and_turns_dmos_around(replica):
    counts = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
    total = sum(counts.values())
    pristine = [float(i % 5 == 0) for i in range(total)]
    replica.mat(
        "dmos_realigned.mat",
        dmos_new=[0.0 if p else -2.0 + 0.1 * i for i, p in enumerate(pristine)],
        dmos_std=[1.0] * total,
        orgs=pristine,
    )
    replica.mat("refnames_all.mat", refnames_all=["bikes.bmp"] * total)
    replica.files("refimgs/bikes.bmp", *(f"{f}/img{n}.bmp" for f, count in counts.items() for n in range(1, count + 1)))
    samples = replica.load("live")
    assert len(samples) == total - int(sum(pristine))
    low, high = -2.0 + 0.1, -2.0 + 0.1 * (total - 1)
    assert (samples[0].scale.low, samples[0].scale.high) == pytest.approx((low, high))
    assert samples[0].mos == pytest.approx(high) and samples[-1].mos == pytest.approx(low)  # least damaged: best
    assert samples[0].id == "live/jp2k/img2.bmp" and samples[-1].id == "live/fastfading/img174.bmp"


def test_pipal_gathers_one_label_file_per_reference(replica, facts):
    replica.table("Train_Label/A0001.txt", "A0001_00_00.bmp,1520.0648", "A0001_06_03.bmp,1400.5")
    replica.table("Train_Label/A0002.txt", "A0002_00_00.bmp,1600.0")
    replica.files("Train_Ref/A0001.bmp", "Train_Ref/A0002.bmp")
    replica.files("Distortion_1/A0001_00_00.bmp", "Distortion_4/A0001_06_03.bmp", "Distortion_1/A0002_00_00.bmp")
    samples = replica.load("pipal")
    assert facts(samples, "mos") == [1520.0648, 1400.5, 1600.0]
    assert samples[0].scale == LabelScale(1400.5, 1600.0)
    assert facts(samples, "content") == ["pipal/A0001", "pipal/A0001", "pipal/A0002"]
    assert facts(samples, "subset") == ["type 00", "type 06", "type 00"]


def test_liu13_reads_the_published_list(replica):
    replica.table("Deblur_test_all.txt", "0_0.png 0_1.png 4.5692", "0_0.png 0_2.png 3.9")
    replica.files("images/0_0.png", "images/0_1.png", "images/0_2.png")
    samples = replica.load("liu13")
    assert {sample.content for sample in samples} == {"liu13/0_0"}
    assert samples[0].path("reference").endswith("images/0_0.png")


def test_sriqa_bench_counts_the_reference_as_one_of_its_own_versions(replica, facts):
    replica.table("MOS/online50.txt", "online50_SeeSRx4.png,100.00000000000001", "online50_Original.png,81.67")
    replica.files("images/SeeSR/online50_SeeSRx4.png", "images/Original/online50_Original.png")
    samples = replica.load("sriqa-bench")
    assert facts(samples, "mos") == [100.0, 81.67]
    assert facts(samples, "subset") == ["SeeSRx4", "Original"]
    assert set(facts(samples, "content")) == {"sriqa-bench/online50"}

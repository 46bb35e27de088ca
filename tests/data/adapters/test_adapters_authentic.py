"""Authentic photographs: counts, directions and splits of miniature replicas."""

import pytest

from pondera.core.records import LabelScale
from pondera.errors import DatasetError


def test_koniq_keeps_the_official_split_and_puts_the_deviation_on_the_scale_of_the_label(replica, facts):
    """The owner's SD is in units of the five-point ratings; 0.527 of 4 is 13.2 of 100."""
    replica.table(
        "koniq10k_distributions_sets.csv",
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
        "a.jpg,0.0,0.0,0.25,0.7,0.05,105,77.38,0.527,training",
        "b.jpg,0.5,0.25,0.25,0.0,0.0,96,20.0,0.6,validation",
        "c.jpg,0.0,0.0,1.0,0.0,0.0,96,50.0,0.0,test",
    )
    replica.files("1024x768/a.jpg", "1024x768/b.jpg", "1024x768/c.jpg")
    samples = replica.load("koniq10k")
    assert facts(samples, "split") == ["train", "val", "test"]
    assert facts(samples, "mos") == [77.38, 20.0, 50.0]
    assert samples[0].mos_std == pytest.approx(13.175)
    assert samples[0].votes == (0.0, 0.0, 0.25, 0.7, 0.05)
    assert samples[0].path() == (replica.root / "1024x768/a.jpg").as_posix()


def test_koniq_with_the_small_images_only_uses_them(replica):
    replica.table(
        "koniq10k_distributions_sets.csv",
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
        "a.jpg,0,0,0,1,0,105,77.38,0.5,training",
    )
    replica.files("512x384/a.jpg")
    assert replica.load("koniq10k")[0].path().endswith("512x384/a.jpg")


def test_koniq_refuses_a_split_it_does_not_know(replica):
    replica.table(
        "koniq10k_distributions_sets.csv",
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
        "a.jpg,0,0,0,1,0,105,77.38,0.5,dev",
    )
    with pytest.raises(DatasetError, match=r"sets\.csv:2: set is 'dev'"):
        replica.load("koniq10k")


def test_spaq_reads_the_sheet_saved_as_csv(replica):
    replica.table(
        "Annotations/MOS and Image attribute scores.csv",
        "Image name,MOS,Brightness,Colorfulness,Contrast,Noisiness,Sharpness",
        "00001.jpg,50.1,40,41,42,43,44",
        "00002.jpg,12.5,10,11,12,13,14",
    )
    replica.files("TestImage/00001.jpg", "TestImage/00002.jpg")
    samples = replica.load("spaq")
    assert [sample.mos for sample in samples] == [50.1, 12.5]
    assert samples[0].targets == {"brightness": 40.0, "colorfulness": 41.0, "contrast": 42.0, "sharpness": 44.0}


def test_spaq_reads_the_workbook_of_the_owner(replica):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Image name", "MOS", "Brightness"])
    book.active.append(["00001.jpg", 50.25, 40])
    (replica.root / "Annotations").mkdir()
    book.save(replica.root / "Annotations" / "MOS and Image attribute scores.xlsx")
    replica.files("TestImage/00001.jpg")
    assert replica.load("spaq")[0].mos == 50.25


def test_live_challenge_leaves_the_seven_training_images_out(replica, facts):
    names = [f"t{n}.bmp" for n in range(1, 8)] + ["3.bmp", "4.bmp"]
    replica.mat("Data/AllImages_release.mat", AllImages_release=names)
    replica.mat("Data/AllMOS_release.mat", AllMOS_release=[*range(7), 63.96, 25.5])
    replica.mat("Data/AllStdDev_release.mat", AllStdDev_release=[*range(7), 19.5, 18.0])
    replica.files("Images/3.bmp", "Images/4.bmp")
    samples = replica.load("livec")
    assert facts(samples, "mos") == [63.96, 25.5] and facts(samples, "mos_std") == [19.5, 18.0]
    assert facts(samples, "id") == ["livec/3.bmp", "livec/4.bmp"]


def test_live_challenge_names_vectors_that_do_not_fit_together(replica):
    replica.mat("Data/AllImages_release.mat", AllImages_release=["a.bmp", "b.bmp"])
    replica.mat("Data/AllMOS_release.mat", AllMOS_release=[1.0])
    replica.mat("Data/AllStdDev_release.mat", AllStdDev_release=[1.0, 2.0])
    with pytest.raises(DatasetError, match="different lengths"):
        replica.load("livec")


def test_bid_takes_the_deviation_from_the_grades(replica):
    replica.table("DatabaseGrades.csv", "image,average,,o1,o2,o3", "1,4.0,,3.0,4.0,5.0", "12,2.5,,2.5,,2.5")
    replica.files("DatabaseImage0001.JPG", "DatabaseImage0012.JPG")
    samples = replica.load("bid")
    assert [sample.id for sample in samples] == ["bid/DatabaseImage0001.JPG", "bid/DatabaseImage0012.JPG"]
    assert [(sample.mos, sample.mos_std) for sample in samples] == [(4.0, 1.0), (2.5, 0.0)]


CID = "CID2013 data - version 12112014.csv"


def test_cid2013_finds_images_by_name_and_observes_its_range(replica):
    replica.table(CID, "Source_ID,MOS,Realigned MOS", "IS_I_C01_D01,50,48.5", "IS_VI_C08_D14,90,93.0")
    replica.files("IS1/co1/IS_I_C01_D01.jpg", "IS6/co8/IS_VI_C08_D14.JPG")
    samples = replica.load("cid2013")
    assert {sample.scale for sample in samples} == {LabelScale(48.5, 93.0)}
    assert samples[1].path().endswith("IS6/co8/IS_VI_C08_D14.JPG")


def test_cid2013_photographs_of_one_scene_share_their_content(replica, facts):
    """Scene 1 of image set I from two cameras, and scene 1 of image set II, which is another place."""
    replica.table(CID, "Source_ID,Realigned MOS", "IS_I_C01_D01,3.3", "IS_I_C01_D02,71.2", "IS_II_C01_D01,50")
    replica.files("IS_I_C01_D01.jpg", "IS_I_C01_D02.jpg", "IS_II_C01_D01.jpg")
    samples = replica.load("cid2013")
    assert facts(samples, "content") == ["cid2013/IS_I_C01", "cid2013/IS_I_C01", "cid2013/IS_II_C01"]
    assert facts(samples, "subset") == ["IS_I", "IS_I", "IS_II"]


def test_cid2013_refuses_a_name_that_does_not_say_its_scene(replica):
    replica.table(CID, "Source_ID,Realigned MOS", "IS_I_C01_D01,3.3", "somewhere,71.2")
    with pytest.raises(DatasetError, match=r"12112014\.csv:3: Source_ID 'somewhere' does not say set, scene, camera"):
        replica.load("cid2013")


def test_biq2021_has_two_tables_and_subsets(replica, facts):
    replica.table("Train (Images and MOS).csv", "Image Name,MOS", "ss01 (1).jpg,0.1931", "ss03 (7).jpg,0.7321")
    replica.table("Test (Images and MOS).csv", "Image Name,MOS", "ss02 (8).jpg,0.0")
    replica.files("Images/ss01 (1).jpg", "Images/ss03 (7).jpg", "Images/ss02 (8).jpg")
    samples = replica.load("biq2021")
    assert facts(samples, "split") == ["train", "train", "test"]
    assert facts(samples, "subset") == ["ss01", "ss03", "ss02"]


@pytest.mark.parametrize("folder", ["database/", ""])
def test_flive_splits_by_its_other_tables_and_its_subsets_are_its_folders(replica, facts, folder):
    """Large images are test, flagged ones val; readers disagree about one in neither table, so it has no split."""
    names = ("EE371R/a.jpg", "voc_emotic_ava/b.jpg", "blur_dataset/c.jpg", "voc_emotic_ava/d.jpg")
    replica.table(f"{folder}labels_image.csv", "name,mos", *(f"{name},70.5" for name in names))
    replica.table(f"{folder}labels640.csv", "mos_image,name_image", "70.5,voc_emotic_ava/b.jpg")
    small = ("70.5,EE371R/a.jpg,False", "70.5,blur_dataset/c.jpg,True")
    replica.table(f"{folder}labels=640_padded.csv", "mos_image,name_image,is_valid", *small)
    replica.files(*(f"database/{name}" for name in names))
    samples = replica.load("flive")
    assert facts(samples, "split") == ["train", "test", "val", None]
    assert facts(samples, "subset") == ["EE371R", "voc_emotic_ava", "blur_dataset", "voc_emotic_ava"]


def test_flive_without_the_tables_of_its_split_says_where_they_are(replica):
    replica.table("database/labels_image.csv", "name,mos", "EE371R/a.jpg,70.5")
    with pytest.raises(DatasetError, match=r"labels640\.csv: missing.*github\.com/baidut/PaQ-2-PiQ"):
        replica.load("flive")

"""A small whole layout of every data set: all its label files with a few rows, and the media that these rows name.

`replica.table` and `replica.mat` write label files, `replica.files` media. The tests of single adapters write layouts
of their own, with the rows that their assertions are about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from pondera.data.adapters.aesthetics import AVA
from pondera.data.adapters.restored import PIPAL, SRIQABench
from pondera.data.adapters.synthetic import LIVE

if TYPE_CHECKING:
    from tests.data.adapters.conftest import Replica


def _koniq10k(replica: Replica) -> None:
    header, row = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set", "a.jpg,0,0,0,1,0,105,77.38,0.5,training"
    replica.table("koniq10k_distributions_sets.csv", header, row)
    replica.files("1024x768/a.jpg")


def _spaq(replica: Replica) -> None:
    replica.table("Annotations/MOS and Image attribute scores.csv", "Image name,MOS", "00001.jpg,50.1")
    replica.files("TestImage/00001.jpg")


def _livec(replica: Replica) -> None:
    names = [f"t{n}.bmp" for n in range(1, 8)] + ["3.bmp"]
    for variable, values in {"Images": names, "MOS": [50.0] * 8, "StdDev": [9.0] * 8}.items():
        replica.mat(f"Data/All{variable}_release.mat", **{f"All{variable}_release": values})
    replica.files("Images/3.bmp")


def _bid(replica: Replica) -> None:
    replica.table("DatabaseGrades.csv", "image,average,,o1,o2", "1,4.0,,3.0,5.0")
    replica.files("DatabaseImage0001.JPG")


def _cid2013(replica: Replica) -> None:
    rows = ("IS_I_C01_D01,3.3", "IS_I_C01_D02,71.2")
    replica.table("CID2013 data - version 12112014.csv", "Source_ID,Realigned MOS", *rows)
    replica.files("IS1/co1/IS_I_C01_D01.jpg", "IS1/co1/IS_I_C01_D02.jpg")


def _biq2021(replica: Replica) -> None:
    replica.table("Train (Images and MOS).csv", "Image Name,MOS", "ss01 (1).jpg,0.1931")
    replica.table("Test (Images and MOS).csv", "Image Name,MOS", "ss02 (8).jpg,0.5")
    replica.files("Images/ss01 (1).jpg", "Images/ss02 (8).jpg")


def _flive(replica: Replica) -> None:
    replica.table("database/labels_image.csv", "name,mos", "EE371R/a.jpg,70.5", "EE371R/b.jpg,60.5")
    replica.table("database/labels640.csv", "mos_image,name_image", "60.5,EE371R/b.jpg")
    replica.table("database/labels=640_padded.csv", "mos_image,name_image,is_valid", "70.5,EE371R/a.jpg,False")
    replica.files("database/EE371R/a.jpg", "database/EE371R/b.jpg")


def _kadid10k(replica: Replica) -> None:
    replica.table("dmos.csv", "dist_img,ref_img,dmos,var", "I01_01_01.png,I01.png,4.57,0.496")
    replica.files("images/I01_01_01.png", "images/I01.png")


def _tid2013(replica: Replica) -> None:
    replica.table("mos_with_names.txt", "5.51429 I01_01_1.bmp")
    replica.table("mos_std.txt", "0.13013")
    replica.files("distorted_images/I01_01_1.bmp", "reference_images/I01.BMP")


def _csiq(replica: Replica) -> None:
    header = "image,dst_idx,dst_type,dst_lev,dmos_std,dmos"
    replica.table("csiq.DMOS.csv", header, "1600,1,noise,1,0.061,0.062")
    replica.files("dst_imgs/awgn/1600.AWGN.1.png", "src_imgs/1600.png")


def _live(replica: Replica) -> None:
    total = sum(count for _, count in LIVE._FOLDERS)
    pristine = [0.0, 0.0] + [1.0] * (total - 2)
    replica.mat("dmos_realigned.mat", dmos_new=[*map(float, range(total))], dmos_std=[1.0] * total, orgs=pristine)
    replica.mat("refnames_all.mat", refnames_all=["bikes.bmp"] * total)
    replica.files("jp2k/img1.bmp", "jp2k/img2.bmp", "refimgs/bikes.bmp")


def _pipal(replica: Replica) -> None:
    for reference in PIPAL.REFERENCES:
        items = [f"{reference}_00_{n:02d}.bmp" for n in range(PIPAL.VERSIONS)]
        replica.table(f"Train_Label/{reference}.txt", *(f"{item},{1400 + n}" for n, item in enumerate(items)))


def _liu13(replica: Replica) -> None:
    replica.table("Deblur_test_all.txt", "0_0.png 0_1.png 4.5692")
    replica.files("images/0_0.png", "images/0_1.png")


def _sriqa_bench(replica: Replica) -> None:
    methods = ["Original", *(f"M{n}" for n in range(1, SRIQABench.VERSIONS))]
    for reference in SRIQABench.REFERENCES:
        replica.table(f"MOS/{reference}.txt", *(f"{reference}_{method}.png,50" for method in methods))


def _agiqa3k(replica: Replica) -> None:
    header = "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align"
    replica.table("data.csv", header, "AttnGAN_normal_000.jpg,statue of a man,,,,0.9656,0.2233,0.4089,0.6156")
    replica.files("AttnGAN_normal_000.jpg")


def _evalmuse(replica: Replica) -> None:
    entry = {"prompt_id": "p1", "prompt": "a cube", "type": "real", "img_path": "X/1.png", "total_score": [4, 5]}
    replica.table("train_list.json", json.dumps([entry]))
    replica.files("images/X/1.png")


def _ava(replica: Replica) -> None:
    replica.table("AVA.txt", "1 953619 2 0 0 0 0 0 0 0 0 2 1 22 1396")
    replica.table("aesthetics_image_lists/generic_test.jpgl", *map(str, range(1, 1 + AVA.NUM_TEST_IDS)))
    replica.files("images/953619.jpg")


def _tad66k(replica: Replica) -> None:
    for split in ("train", "test"):
        replica.table(f"labels/merge/{split}.csv", "image,score", f"{split}.jpg,2.85")
    replica.files("TAD66K/train.jpg", "TAD66K/test.jpg")


def _flickr_aes(replica: Replica) -> None:
    replica.table("FLICKR-AES_image_score.txt", "farm5_1_b.jpg 0.45")
    replica.files("40K/farm5_1_b.jpg")


def _para(replica: Replica) -> None:
    votes = ",".join(f"aestheticScore_{half / 2:.1f}" for half in range(2, 11))
    header = f"imageName,sessionId,{votes},aestheticScore_mean,aestheticScore_std"
    for part in ("Train", "Test"):
        replica.table(f"annotation/PARA-Giaa{part}.csv", header, f"a.jpg,{part},0,0,0,1,10,10,4,0,0,3.34,0.4")
    replica.files("imgs/Train/a.jpg", "imgs/Test/a.jpg")


def _aadb(replica: Replica) -> None:
    for part in ("Train", "Validation", "TestNew"):
        replica.table(f"imgListFiles_label/imgList{part}Regression_score.txt", f"{part}.jpg 0.65")
    replica.files("datasetImages_originalSize/Train.jpg", "datasetImages_originalSize/Validation.jpg")
    replica.files("AADB_newtest_originalSize/TestNew.jpg")


def _lsvq(replica: Replica) -> None:
    replica.table("labels_train_test.csv", "name,mos,is_test", "yfcc-batch1/1,70.1,False")
    replica.table("labels_test_1080p.csv", "name,mos", "yfcc-batch1/722,80.5")
    replica.files("yfcc-batch1/1.mp4", "yfcc-batch1/722.mp4")


def _konvid1k(replica: Replica) -> None:
    replica.table("KoNViD_1k_mos.csv", '"flickr_id","mos"', '"10053703034","3.4600000000"')
    replica.files("KoNViD_1k_videos/10053703034.mp4")


def _live_vqc(replica: Replica) -> None:
    replica.mat("data.mat", video_list=["A001.mp4"], mos=[80.2])
    replica.files("Video/A001.mp4")


def _youtube_ugc(replica: Replica) -> None:
    replica.table("original_videos_MOS_for_YouTube_UGC_dataset.csv", "vid,MOS full", "Vlog_720P-33ba,3.412")
    replica.files("720P/Vlog_720P-33ba.mkv")


def _cvd2014(replica: Replica) -> None:
    rows = ("Test01_City_D01;54,23", "Test01_City_D02;-6,50")
    replica.table("CVD2014_ratings/Realignment_MOS.csv", "File_name;Realignment MOS", *rows)
    replica.files("Test1/City/Test01_City_D01.avi", "Test1/City/Test01_City_D02.avi")


def _live_yt_gaming(replica: Replica) -> None:
    replica.mat("LIVEYTGaming.mat", video_list=["Fortnite_001"], MOS=[61.7])
    replica.files("videos/Fortnite_001.mp4")


# LGVQ has no layout: it is not read.
LAYOUTS: dict[str, Callable[[Replica], None]] = {
    "koniq10k": _koniq10k,
    "spaq": _spaq,
    "livec": _livec,
    "bid": _bid,
    "cid2013": _cid2013,
    "biq2021": _biq2021,
    "flive": _flive,
    "kadid10k": _kadid10k,
    "tid2013": _tid2013,
    "csiq": _csiq,
    "live": _live,
    "pipal": _pipal,
    "liu13": _liu13,
    "sriqa-bench": _sriqa_bench,
    "agiqa3k": _agiqa3k,
    "evalmuse": _evalmuse,
    "ava": _ava,
    "tad66k": _tad66k,
    "flickr-aes": _flickr_aes,
    "para": _para,
    "aadb": _aadb,
    "lsvq": _lsvq,
    "konvid1k": _konvid1k,
    "live-vqc": _live_vqc,
    "youtube-ugc": _youtube_ugc,
    "cvd2014": _cvd2014,
    "live-yt-gaming": _live_yt_gaming,
}

"""Generated media, aesthetics, videos."""

import json

import pytest

from pondera.core.records import LabelScale
from pondera.errors import DatasetError


def test_agiqa_shares_content_by_prompt(replica, facts):
    replica.table(
        "data.csv",
        "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align",
        "AttnGAN_normal_000.jpg,statue of a man,,,,0.9656,0.2233,0.4089,0.6156",
        "DALLE2_normal_000.jpg,statue of a man,,,,3.5,0.3,4.0,0.5",
    )
    replica.files("AttnGAN_normal_000.jpg", "DALLE2_normal_000.jpg")
    samples = replica.load("agiqa3k")
    assert facts(samples, "mos") == [0.9656, 3.5]
    assert samples[1].targets == {"alignment": 4.0} and samples[1].text == "statue of a man"
    assert samples[0].content == samples[1].content
    assert facts(samples, "subset") == ["AttnGAN", "DALLE2"]


def _evalmuse(ratings):
    return {"prompt_id": "p1", "prompt": "a cube", "type": "real", "img_path": "X/1.png", "total_score": ratings}


def test_evalmuse_label_is_the_mean_rating(replica):
    replica.table("train_list.json", json.dumps([_evalmuse([4, 5, 4])]))
    replica.files("images/X/1.png")
    (sample,) = replica.load("evalmuse")
    assert sample.mos == pytest.approx(13 / 3) and sample.votes == (0, 0, 0, 2, 1)
    assert (sample.split, sample.content, sample.text) == ("train", "evalmuse/p1", "a cube")


@pytest.mark.parametrize("ratings", [[], [0], [6], "45", None])
def test_evalmuse_refuses_ratings_that_are_none(replica, ratings):
    replica.table("train_list.json", json.dumps([_evalmuse(ratings)]))
    with pytest.raises(DatasetError, match="total_score"):
        replica.load("evalmuse")


def test_lgvq_says_that_its_layout_is_not_known(replica):
    with pytest.raises(DatasetError, match="pondera data import csv"):
        replica.load("lgvq")


def test_ava_label_is_the_mean_vote_and_the_test_list_is_the_owners(replica, facts):
    """Two votes of 1 and two of 10: mean 5.5, standard deviation 4.5."""
    replica.table("AVA.txt", "1 953619 2 0 0 0 0 0 0 0 0 2 1 22 1396", "2 953958 0 0 0 4 0 0 0 0 0 0 15 21 1396")
    replica.table("aesthetics_image_lists/generic_test.jpgl", "953958")
    replica.files("images/953619.jpg", "images/953958.jpg")
    samples = replica.load("ava")
    assert facts(samples, "mos") == [5.5, 4.0] and facts(samples, "mos_std") == [4.5, 0.0]
    assert facts(samples, "split") == ["train", "test"]
    assert samples[0].votes == (2, 0, 0, 0, 0, 0, 0, 0, 0, 2)


def test_ava_refuses_an_image_without_votes(replica):
    replica.table("AVA.txt", "1 953619 0 0 0 0 0 0 0 0 0 0 1 22 1396")
    replica.table("aesthetics_image_lists/generic_test.jpgl", "1")
    with pytest.raises(DatasetError, match=r"AVA\.txt:1: the votes"):
        replica.load("ava")


@pytest.mark.parametrize("folder", ["labels/merge", "dataset/merge"])
def test_tad66k_reads_both_places_of_its_tables(replica, facts, folder):
    replica.table(f"{folder}/train.csv", "image,score", "a.jpg,2.85")
    replica.table(f"{folder}/test.csv", "image,score", "b.jpg,1.9")
    replica.files("TAD66K/a.jpg", "TAD66K/b.jpg")
    assert facts(replica.load("tad66k"), "split") == ["train", "test"]


def test_flickr_aes_reads_its_list(replica, facts):
    replica.table("FLICKR-AES_image_score.txt", "farm5_1_b.jpg 0.45", "farm5_2_b.jpg 1.0")
    replica.files("40K/farm5_1_b.jpg", "40K/farm5_2_b.jpg")
    assert facts(replica.load("flickr-aes"), "mos") == [0.45, 1.0]


def test_para_keeps_attributes_votes_and_split(replica, facts):
    votes = ",".join(f"aestheticScore_{half / 2:.1f}" for half in range(2, 11))
    header = f"imageName,sessionId,semantic,{votes},aestheticScore_mean,aestheticScore_std,qualityScore_mean"
    row = "iaa_pub1_.jpg,session1,food,0,0,0,1,10,10,4,0,0,3.34,0.4,3.5"
    replica.table("annotation/PARA-GiaaTrain.csv", header, row)
    replica.table("annotation/PARA-GiaaTest.csv", header, row.replace("session1", "session2"))
    replica.files("imgs/session1/iaa_pub1_.jpg", "imgs/session2/iaa_pub1_.jpg")
    samples = replica.load("para")
    assert facts(samples, "split") == ["train", "test"]
    assert samples[0].votes == (0, 0, 0, 1, 10, 10, 4, 0, 0) and samples[0].targets == {"quality": 3.5}
    assert samples[0].subset == "food"


def test_aadb_takes_the_test_images_from_their_own_folder(replica, facts):
    replica.table("imgListFiles_label/imgListTrainRegression_score.txt", "a.jpg 0.65")
    replica.table("imgListFiles_label/imgListValidationRegression_score.txt", "b.jpg 0.5")
    replica.table("imgListFiles_label/imgListTestNewRegression_score.txt", "c.jpg 0.05")
    folder = "datasetImages_originalSize"
    replica.files(f"{folder}/a.jpg", f"{folder}/b.jpg", "AADB_newtest_originalSize/c.jpg")
    samples = replica.load("aadb")
    assert facts(samples, "split") == ["train", "val", "test"]
    assert samples[2].path().endswith("AADB_newtest_originalSize/c.jpg")
    (replica.root / "AADB_newtest_originalSize/c.jpg").rename(replica.root / folder / "c.jpg")
    assert replica.load("aadb")[2].path().endswith(f"{folder}/c.jpg")


def test_lsvq_has_two_tests(replica, facts):
    replica.table(
        "labels_train_test.csv",
        "name,height,width,mos,is_test",
        "yfcc-batch1/1,540,960,70.1,False",
        "ia-batch1/2,540,960,50.0,True",
    )
    replica.table("labels_test_1080p.csv", "name,height,width,mos", "yfcc-batch1/722,1080,1920,80.5")
    replica.files("yfcc-batch1/1.mp4", "ia-batch1/2.mp4", "yfcc-batch1/722.mp4")
    samples = replica.load("lsvq")
    assert facts(samples, "split") == ["train", "test", "test_1080p"]
    assert samples[2].id == "lsvq/yfcc-batch1/722.mp4"


def test_lsvq_refuses_a_flag_that_is_neither_true_nor_false(replica):
    replica.table("labels_train_test.csv", "name,mos,is_test", "a,70.1,maybe")
    with pytest.raises(DatasetError, match="is_test is 'maybe'"):
        replica.load("lsvq")


@pytest.mark.parametrize("number", ["10053703034", "10053703034.0"])
def test_konvid_ids_are_whole_numbers(replica, number):
    replica.table("KoNViD_1k_mos.csv", '"flickr_id","mos"', f'"{number}","3.4600000000"')
    replica.files("KoNViD_1k_videos/10053703034.mp4")
    (sample,) = replica.load("konvid1k")
    assert (sample.id, sample.mos) == ("konvid1k/KoNViD_1k_videos/10053703034.mp4", 3.46)


def test_live_vqc_reads_its_matlab_file(replica, facts):
    replica.mat("data.mat", video_list=["A001.mp4", "A002.mp4"], mos=[80.2, 55.0])
    replica.files("Video/A001.mp4", "Video/A002.mp4")
    assert facts(replica.load("live-vqc"), "mos") == [80.2, 55.0]


@pytest.mark.parametrize("end", [".mkv", ".mp4", "_crf_10_ss_00_t_20.0.mp4"])
def test_youtube_ugc_finds_originals_and_copies(replica, end):
    header = "vid,category,resolution,# subjects,MOS full,MOS chunk00,std full"
    row = "Vlog_720P-33ba,Vlog,720,125,3.412,3.4,0.468"
    replica.table("original_videos_MOS_for_YouTube_UGC_dataset.csv", header, row)
    replica.files(f"720P/Vlog_720P-33ba{end}")
    (sample,) = replica.load("youtube-ugc")
    assert (sample.mos, sample.mos_std, sample.subset) == (3.412, 0.468, "Vlog") and sample.path().endswith(end)


def test_cvd2014_reads_decimal_commas_and_skips_remarks(replica):
    replica.table(
        "CVD2014_ratings/Realignment_MOS.csv",
        "File_name;Content;Realignment MOS",
        "Test01_City_D01;City;54,23",
        "Test02_Traffic_D02;Traffic;-6,50",
        ";;",
        ";remark;",
    )
    replica.files("Test1/City/Test01_City_D01.avi", "Test2/Traffic/Test02_Traffic_D02.avi")
    samples = replica.load("cvd2014")
    assert [sample.mos for sample in samples] == [54.23, -6.5]
    assert samples[0].scale == LabelScale(-6.5, 54.23)


def test_live_yt_gaming_reads_what_public_readers_read(replica):
    replica.mat("LIVEYTGaming.mat", video_list=["Fortnite_001", "Fortnite_002"], MOS=[61.7, 20.0])
    replica.files("videos/Fortnite_001.mp4", "videos/Fortnite_002.mp4")
    assert [sample.mos for sample in replica.load("live-yt-gaming")] == [61.7, 20.0]

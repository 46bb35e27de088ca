"""From evaluations to the page."""

import pytest

from pondera.core.aspects import worst_aspect
from pondera.evaluate import aspect_truthfulness, compare_systems, evaluate, write_report
from pondera.evaluate.page import choose_gallery


def test_report_shows_every_system_comparison_and_image(samples, make_assess, tmp_path):
    cold = evaluate(samples, make_assess(1.0, seed=1), name="cold start", num_resamples=50)
    tuned = evaluate(samples, make_assess(0.4, seed=2), name="reinforced", num_resamples=50)
    aspect_of = {"gaussian_blur": "sharpness", "gaussian_noise": "noise"}
    path = write_report(
        tmp_path / "deep" / "report.html",
        [cold, tuned],
        title="Trial run",
        comparisons=[compare_systems(cold, tuned, num_resamples=50)],
        truthfulness={"reinforced": aspect_truthfulness(tuned.rows, aspect_of, worst_aspect, num_resamples=50)},
        environment={"seed": 0},
    )
    text = path.read_text(encoding="utf-8")
    for part in ("Trial run", "cold start", "reinforced", "reinforced minus cold start", "f00d", "gaussian blur"):
        assert part in text
    assert text.count("<article>") == 12


def test_gallery_runs_over_the_labels_and_ends_with_the_worst_mistakes(samples, make_assess):
    run = evaluate(samples, make_assess(1.0), name="x", num_resamples=0)
    items = choose_gallery([run], 8)
    labels = [item.mos for item in items[:4]]
    assert labels == sorted(labels)
    assert labels[0] == min(sample.mos for sample in samples)
    errors = [abs(item.entries[0].score - item.mos) for item in items[4:]]
    assert errors == sorted(errors, reverse=True)
    assert all("large error" in item.note for item in items[4:])
    assert len({item.title for item in items}) == 8


@pytest.mark.parametrize("size", [0, 1, 500])
def test_gallery_of_any_size_shows_no_image_twice(samples, make_assess, size):
    items = choose_gallery([evaluate(samples, make_assess(1.0), name="x", num_resamples=0)], size)
    assert len({item.title for item in items}) == len(items) == min(size, 120)


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        write_report(tmp_path / "r.html", [], title="x")

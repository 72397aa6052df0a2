"""Where loads come from: predictors, generators, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelab.eplb import MovingAverage, Window, drifting, lognormal, one_hot, read_load, rebalance, zipf

HISTORY = drifting(12, 2, 16, correlation=0.9, seed=0)


class TestPredictors:
    def test_moving_average_weighs_windows_by_age(self) -> None:
        average = MovingAverage(half_life=3)
        for seen in range(1, 13):
            weights = 0.5 ** (np.arange(seen)[::-1] / 3)
            expected = np.tensordot(weights / weights.sum(), HISTORY[:seen], axes=1)
            assert np.allclose(average.update(HISTORY[seen - 1]), expected)

    def test_window_is_the_mean_of_the_last(self) -> None:
        window = Window(4)
        for seen in range(1, 13):
            assert np.allclose(window.update(HISTORY[seen - 1]), HISTORY[max(0, seen - 4) : seen].mean(axis=0))

    def test_a_constant_load_is_predicted_from_the_first_window_on(self) -> None:
        for predictor in (MovingAverage(0.1), MovingAverage(50), Window(1), Window(9)):
            for _ in range(20):
                assert np.allclose(predictor.update(HISTORY[0]), HISTORY[0])

    def test_an_average_predicts_noisy_counts_better_than_the_last_window(self) -> None:
        """Few tokens a window, from proportions that stay: the plan is better if it rests on more than one window."""
        share = lognormal(4, 64, seed=0) / 64
        random = np.random.default_rng(1)
        windows = [random.multinomial(2000, share / share.sum(axis=1, keepdims=True)) for _ in range(20)]
        reached = []
        for predictor in (Window(1), MovingAverage(8)):
            for window in windows:
                predicted = predictor.update(window)
            reached.append(rebalance(predicted, 80, 8).under(share).balancedness.mean())
        assert reached[1] > reached[0]

    def test_what_it_is_given_is_neither_kept_nor_changed(self) -> None:
        load = np.ones((1, 4))
        for predictor in (MovingAverage(2), Window(2)):
            predictor.update(load)
            load *= 3
            assert predictor.update(np.ones((1, 4))).max() == pytest.approx(1)
            load /= 3

    def test_refuses(self) -> None:
        for half_life in (0, -1, np.inf, np.nan):
            with pytest.raises(ValueError, match="half_life is a number of windows above 0"):
                MovingAverage(half_life)
        for length in (0, 1.5, np.inf, np.nan):
            with pytest.raises(ValueError, match="length must be "):
                Window(length)  # type: ignore[arg-type]
        for predictor in (MovingAverage(2), Window(2)):
            predictor.update(np.ones((2, 4)))
            with pytest.raises(ValueError, match=r"earlier windows have shape \(2, 4\).* got \(4, 2\)"):
                predictor.update(np.ones((4, 2)))
            with pytest.raises(ValueError, match="not negative"):
                predictor.update(-np.ones((2, 4)))


class TestSynthetic:
    MADE = {
        "zipf": lambda **more: zipf(3, 64, exponent=1.2, **more),
        "lognormal": lambda **more: lognormal(3, 64, sigma=1.5, **more),
        "one_hot": lambda **more: one_hot(3, 64, **more),
        "drifting": lambda **more: drifting(5, 3, 64, **more),
    }

    @pytest.mark.parametrize("name", MADE)
    def test_shape_mean_and_seed(self, name: str) -> None:
        make = self.MADE[name]
        load = make(seed=3)
        assert load.shape == ((5, 3, 64) if name == "drifting" else (3, 64))
        assert np.allclose(load.mean(axis=-1), 1) and (load >= 0).all()
        assert np.array_equal(load, make(seed=3)) and not np.array_equal(load, make(seed=4))

    @pytest.mark.parametrize("name", MADE)
    def test_tokens(self, name: str) -> None:
        tokens = self.MADE[name](seed=3, tokens=100_000)
        assert tokens.dtype == np.int64 and (tokens.sum(axis=-1) == 100_000).all()
        expected = self.MADE[name](seed=3) * 100_000 / 64
        assert np.abs(tokens - expected).max() < 6 * np.sqrt(expected.max())

    def test_zipf_falls_as_it_says(self) -> None:
        load = np.sort(zipf(4, 32, exponent=1.5, seed=0), axis=1)[:, ::-1]
        assert np.allclose(load / load[:, :1], np.arange(1, 33) ** -1.5)
        assert len({int(layer.argmax()) for layer in zipf(8, 32, exponent=1.5, seed=0)}) > 1
        assert np.allclose(zipf(2, 8, exponent=0, seed=0), 1)

    def test_lognormal_has_its_sigma(self) -> None:
        assert np.log(lognormal(1, 100_000, sigma=0.7, seed=0)).std() == pytest.approx(0.7, rel=0.02)

    def test_one_hot(self) -> None:
        assert (np.sort(one_hot(5, 8, seed=0), axis=1) == [0] * 7 + [8]).all()

    def test_drifting_correlates_as_it_says(self) -> None:
        logs = np.log(drifting(6, 1, 50_000, correlation=0.8, seed=0))[:, 0]
        found = np.corrcoef(logs)
        assert np.diag(found, 1) == pytest.approx([0.8] * 5, abs=0.02)
        assert np.diag(found, 2) == pytest.approx([0.64] * 4, abs=0.02)
        stays = drifting(3, 1, 8, correlation=1, seed=0)
        assert np.allclose(stays, stays[0])

    def test_refuses(self) -> None:
        for call, says in [
            (lambda: zipf(1, 4, exponent=-1, seed=0), "exponent must be 0 or more"),
            (lambda: lognormal(1, 4, sigma=np.nan, seed=0), "sigma must be 0 or more"),
            (lambda: drifting(1, 1, 4, correlation=1.1, seed=0), "correlation is 0 to 1; got 1.1"),
            (lambda: drifting(-1, 1, 4, seed=0), "windows must be at least 0; got -1"),
            (lambda: lognormal(2.5, 4, seed=0), "layers must be a whole number; got 2.5"),  # type: ignore[arg-type]
            (lambda: one_hot(1, 0, seed=0), "experts must be at least 1; got 0"),
            (lambda: zipf(1, 4, seed=0, tokens=-1), "tokens must be at least 0; got -1"),
        ]:
            with pytest.raises(ValueError, match=says):
                call()
        with pytest.raises(TypeError, match="seed"):
            zipf(1, 4)  # type: ignore[call-arg]


class TestFiles:
    """What is refused, the tests of the command line cover."""

    def test_all_kinds_of_files(self, tmp_path: Path) -> None:
        load = lognormal(3, 8, seed=0)
        np.savetxt(tmp_path / "a.csv", load, delimiter=",", fmt="%.17g", header=",".join("abcdefgh"), comments="")
        np.save(tmp_path / "a.npy", np.asfortranarray(load))
        (tmp_path / "a.json").write_text(json.dumps(load.tolist()))
        (tmp_path / "plan.json").write_text(rebalance(load, 12, 4).to_json())
        for name in ("a.csv", "a.npy", "a.json", "plan.json"):
            assert np.array_equal(read_load(tmp_path / name), load)

    def test_csv_as_spreadsheets_write_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.CSV").write_bytes(b"\xef\xbb\xbf1, 2,3\r\n\r\n4,5 ,6e2\r\n,,\r\n")
        assert read_load(tmp_path / "a.CSV").tolist() == [[1, 2, 3], [4, 5, 600]]

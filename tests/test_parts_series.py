"""Series, scaling and recurrent layers against closed forms and PyTorch's own."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from methods.base import RunContext
from methods.parts.recurrent import BiLstm
from methods.parts.scaling import Standardise
from methods.parts.series import averaged, filled
from methods.parts.training import Schedule, fit


def column(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]


class TestSeries:
    def test_gaps_are_closed_in_a_straight_line(self) -> None:
        gap = np.nan
        np.testing.assert_allclose(filled(column(gap, 1, gap, gap, 4, gap))[:, 0], [1, 1, 2, 3, 4, 4])

    def test_what_is_never_measured_stays_unknown(self) -> None:
        series = np.hstack([column(1, np.nan, 3), np.full((3, 1), np.nan, np.float32)])
        assert np.isnan(filled(series)[:, 1]).all()
        assert np.isnan(averaged(filled(series), 2)[:, 1]).all()
        np.testing.assert_allclose(filled(series)[:, 0], [1, 2, 3])

    @given(parts=st.integers(1, 9), each=st.integers(1, 7))
    def test_means_of_equal_parts(self, parts: int, each: int) -> None:
        series = np.random.default_rng(parts).normal(size=(parts * each, 3)).astype(np.float32)
        expected = series.reshape(parts, each, 3).mean(axis=1)
        np.testing.assert_allclose(averaged(series, parts), expected, atol=1e-5)

    @given(frames=st.integers(1, 30), steps=st.integers(1, 40))
    def test_the_mean_over_time_stays(self, frames: int, steps: int) -> None:
        series = np.random.default_rng(frames).normal(size=(frames, 2)).astype(np.float32)
        found = averaged(series, steps)
        assert found.shape == (steps, 2)
        np.testing.assert_allclose(found.mean(axis=0), series.mean(axis=0), atol=1e-5)

    def test_fewer_frames_than_steps_are_repeated(self) -> None:
        np.testing.assert_allclose(averaged(column(2, 6), 5)[:, 0], [2, 2, 4, 6, 6])

    def test_no_frame_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="must have a frame"):
            averaged(np.zeros((0, 3), np.float32), 4)


class TestStandardise:
    def test_what_is_missing_has_no_part_in_the_statistics(self) -> None:
        scale = Standardise(2)
        scale.learn([column(1, 3), column(5)])
        found = scale.table([column(1, 3), column(5)], rows=4).numpy()
        assert found.shape == (2, 4, 2)
        deviation = float(np.std([1, 3, 5]))
        np.testing.assert_allclose(found[0, :, 0], np.array([-2, 0, 0, 0]) / deviation, atol=1e-6)
        np.testing.assert_allclose(found[1, :, 0], np.array([2, 0, 0, 0]) / deviation, atol=1e-6)
        assert not found[..., 1].any()  # no training clip had that column

    def test_what_training_never_met_is_nothing(self) -> None:
        scale = Standardise(1)
        scale.learn([column()])
        assert not scale.table([column(3, -4)], rows=2).any()

    def test_a_constant_is_no_division_by_zero(self) -> None:
        scale = Standardise(1)
        scale.learn([column(7, 7, 7)])
        assert not scale.table([column(7)], rows=1).any()

    def test_what_is_no_number_stays_none(self) -> None:
        scale = Standardise(1)
        scale.learn([column(1, 2)])
        assert scale.table([column(np.nan)], rows=1).isnan().all()


class TestBiLstm:
    def test_a_mask_that_hides_nothing_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nn.functional, "dropout", lambda rows, share: rows)
        layer, rows = BiLstm(3, 5, dropout=0.5), torch.randn(2, 7, 3)
        torch.testing.assert_close(layer.train()(rows), layer.eval()(rows))

    def test_the_first_step_has_no_past_to_hide(self) -> None:
        layer, rows = BiLstm(3, 5, dropout=0.9), torch.randn(4, 6, 3)
        dropped, whole = layer.train()(rows), layer.eval()(rows)
        torch.testing.assert_close(dropped[:, 0, :5], whole[:, 0, :5])
        torch.testing.assert_close(dropped[:, -1, 5:], whole[:, -1, 5:])
        assert (dropped - whole).abs().max() > 1e-3

    def test_a_mask_that_hides_all_makes_steps_independent_but_for_the_cell(self) -> None:
        layer = BiLstm(2, 3, dropout=1.0)
        for _, kept, *_ in layer.lstm.all_weights:
            nn.init.constant_(kept, 1e3)  # would saturate each gate
        dropped = layer.train()(torch.zeros(1, 4, 2))
        nn.init.zeros_(layer.lstm.all_weights[0][1])
        nn.init.zeros_(layer.lstm.all_weights[1][1])
        torch.testing.assert_close(dropped, layer.eval()(torch.zeros(1, 4, 2)))


class TestTheBestEpoch:
    @staticmethod
    def trained(scores: list[float] | None) -> tuple[list[float], float]:
        """The weight after each epoch, and the one that is kept."""
        network, seen = nn.Linear(1, 2, bias=False), []

        def validate() -> float:
            assert not network.training
            seen.append(network.weight[0, 0].item())
            assert scores is not None
            return scores[len(seen) - 1]

        rows, targets = torch.ones(4, 1), torch.zeros(4, dtype=torch.int64)
        schedule = Schedule(epochs=4, batch=4, learning_rate=0.1)
        fit(
            network, lambda chosen: network(rows[chosen]), targets, schedule, RunContext(), validate if scores else None
        )
        assert not network.training
        return seen, network.weight[0, 0].item()

    def test_the_first_of_the_best_is_kept(self) -> None:
        seen, kept = self.trained([0.1, 0.7, 0.7, 0.3])
        assert len(set(seen)) == 4
        assert kept == seen[1]

    def test_without_validation_the_last_is_kept(self) -> None:
        torch.manual_seed(0)
        _, kept = self.trained(None)
        torch.manual_seed(0)
        seen, _ = self.trained([0.1, 0.2, 0.3, 0.4])
        assert kept == seen[-1]

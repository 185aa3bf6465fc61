"""The linear-chain conditional random field: the tags of a sentence decided together (Lafferty et al. 2001)."""

import torch
from torch import Tensor, nn

from seqloom.errors import ConfigError
from seqloom.shapes import Float, Int, valid_steps


class CRF(nn.Module):
    """Which tag follows which. The score of tags y for a row of scores s (T, K), with start b, end e, and changes A:

        score(y) = b[y_1] + sum_t s[t, y_t] + sum_t A[y_(t-1), y_t] + e[y_T]        p(y) = exp(score(y)) / Z

    `scores` are (B, T, K), `lengths` (B,); a row without steps has one way to be tagged, of score 0. What stands at
    padding never reaches a result. Raises ConfigError where `tags`, K, is below 1.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        if tags < 1:
            raise ConfigError(f"CRF: tags is {tags}. It must be a whole number from 1 on.")
        self.start = nn.Parameter(torch.zeros(tags))
        self.change = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def log_likelihood(
        self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"], tags: Int[Tensor, "B T"]
    ) -> Float[Tensor, " B"]:
        """ln p of the `tags` of each row."""
        return self.score(scores, lengths, tags) - self.log_partition(scores, lengths)

    def score(
        self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"], tags: Int[Tensor, "B T"]
    ) -> Float[Tensor, " B"]:
        """The score of the `tags` of each row."""
        if not scores.shape[1]:
            return scores.sum(dim=(1, 2))
        real = valid_steps(lengths, scores.shape[1])
        tags = torch.where(real, tags, 0)
        each = torch.where(real, scores.gather(2, tags[..., None]).squeeze(2), 0)
        changes = torch.where(real[:, 1:], self.change[tags[:, :-1], tags[:, 1:]], 0)
        last = tags.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
        ends = torch.where(lengths > 0, self.start[tags[:, 0]] + self.end[last], 0)
        return each.sum(dim=1) + changes.sum(dim=1) + ends

    def log_partition(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """ln Z of each row, the log of the sum of exp(score) over all ways to tag it: the forward algorithm."""
        if not scores.shape[1]:
            return scores.sum(dim=(1, 2))
        scores = _blank(scores, lengths)
        reached = self.start + scores[:, 0]
        for step in range(1, scores.shape[1]):
            after = torch.logsumexp(reached[:, :, None] + self.change, dim=1) + scores[:, step]
            reached = torch.where((step < lengths)[:, None], after, reached)
        return torch.where(lengths > 0, torch.logsumexp(reached + self.end, dim=1), 0)

    @torch.no_grad()
    def best(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """The tags of the highest score of each row, 0 at padding: the Viterbi algorithm."""
        rows, time, _ = scores.shape
        if not time:
            return lengths.new_zeros(rows, 0)
        scores = _blank(scores, lengths)
        reached, before = self.start + scores[:, 0], []
        for step in range(1, time):
            after, came_from = (reached[:, :, None] + self.change).max(dim=1)
            reached = torch.where((step < lengths)[:, None], after + scores[:, step], reached)
            before.append(came_from)
        tag = (reached + self.end).argmax(dim=1)
        found = [torch.where(lengths == time, tag, 0)]
        for step in range(time - 1, 0, -1):
            # A row whose end is still to come keeps the tag that it ends with.
            previous = before[step - 1].gather(1, tag[:, None]).squeeze(1)
            tag = torch.where(step < lengths, previous, tag)
            found.append(torch.where(step <= lengths, tag, 0))
        return torch.where(valid_steps(lengths, time), torch.stack(found[::-1], dim=1), 0)

    def marginals(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T K"]:
        """The probability of each tag at each step, whatever the others are; zeros at padding.

        They are the gradient of ln Z with respect to the scores.
        """
        with torch.inference_mode(False), torch.enable_grad():
            asked = scores.detach().clone().requires_grad_()
            [found] = torch.autograd.grad(self.log_partition(asked, lengths.clone()).sum(), asked)
        return torch.where(valid_steps(lengths, scores.shape[1])[..., None], found, 0)


def _blank(scores: Tensor, lengths: Tensor) -> Tensor:
    """The scores with zeros at padding: what is not a number there would reach a gradient."""
    return torch.where(valid_steps(lengths, scores.shape[1])[..., None], scores, 0)

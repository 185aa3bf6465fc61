"""The list of mutations keeps up with the source; the long test makes every one of them."""

import pytest

from tests.mutations.run import ROOT, Mutation, main, mutations, occurrences


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: mutation.breaks.replace(" ", "_"))
def test_a_mutation_can_be_made_in_exactly_one_place(mutation: Mutation) -> None:
    assert occurrences(mutation) == 1
    assert mutation.new != mutation.old
    assert (ROOT / mutation.tests).is_file()


def test_no_mutation_is_listed_twice() -> None:
    listed = mutations()
    assert len({(each.file, each.old, each.new) for each in listed}) == len(listed)


@pytest.mark.long
def test_every_mutation_turns_a_test_red(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out

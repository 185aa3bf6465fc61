"""What helps with a misspelt name."""

from seqloom.errors import nearest


def test_a_misspelt_name_is_told_its_nearest() -> None:
    assert nearest("labl", ["text", "label"]) == 'did you mean "label"?'


def test_a_name_like_none_is_told_all_of_few_and_how_many_there_are_of_many() -> None:
    assert nearest("x", ["one", "two"]) == "allowed: one, two"
    many = [f"name {number}" for number in range(33)]
    assert nearest("x", many) == f"allowed: {', '.join(many[:20])} and 13 more"

"""Generated reviews are balanced and repeatable, and their meaning stands in the order of the words."""

from collections import Counter, defaultdict

from seqloom.data import reviews

NUMBER = 3000


def test_same_seed_same_reviews() -> None:
    assert reviews(50, seed=1) == reviews(50, seed=1)
    assert reviews(50, seed=1) != reviews(50, seed=2)


def test_labels_are_balanced_and_never_contradict() -> None:
    pairs = reviews(NUMBER, seed=0)
    assert Counter(label for _, label in pairs) == {"positive": NUMBER // 2, "negative": NUMBER // 2}
    labels = defaultdict(set)
    for text, label in pairs:
        labels[text].add(label)
    assert all(len(own) == 1 for own in labels.values())
    assert len(labels) > 0.85 * NUMBER


def test_the_same_words_in_another_order_mean_the_opposite() -> None:
    bags = defaultdict(set)
    for text, label in reviews(20_000, seed=0):
        bags[tuple(sorted(text.replace(",", "").split()))].add(label)
    assert sum(len(own) == 2 for own in bags.values()) > 100


def test_no_word_gives_the_label_away() -> None:
    """Each adjective stands in many reviews of both labels, so counting words does not solve the task."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text, label in reviews(NUMBER, seed=0):
        for word in set(text.replace(",", "").split()):
            counts[word][label] += 1
    assert len(counts) >= 60
    for word, own in counts.items():
        if own.total() >= 50:
            assert min(own["positive"], own["negative"]) > 0.2 * own.total(), word


def test_negation_and_contrast_decide() -> None:
    """A reader with two rules, made without the grammar, agrees with the labels where the rules speak."""
    good = {"good", "great", "wonderful", "brilliant", "funny", "clever", "charming", "touching", "memorable"}
    bad = {"bad", "boring", "awful", "terrible", "dull", "weak", "silly", "slow", "clumsy"}
    agreed = 0
    for text, label in reviews(NUMBER, seed=3):
        words = text.split(", but ")[-1].split()
        if len(words) == 5 and words[2] == "was" and words[3] in ("not", "never", "really") and words[4] in good | bad:
            positive = (words[4] in good) == (words[3] == "really")
            assert label == ("positive" if positive else "negative"), text
            agreed += 1
    assert agreed > 5

// How a call is shared out: few rows by a team or one by one, short calls by none while the others sleep; and teams that meet,
// measure their waits and break up together.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "plan.h"
#include "threads.h"

using namespace seqloom;

static std::atomic<int> failures{0};

static void check(bool right, const char* what) {
    if (!right && failures++ < 5) std::printf("wrong: %s\n", what);
}

static plan of(std::int64_t rows, std::int64_t steps, std::int64_t multiplications, int threads = 2) {
    static std::vector<std::int64_t> lengths;
    lengths.assign(static_cast<std::size_t>(rows), steps);
    return {rows, lengths.data(), threads, multiplications, 8};
}

// Every row in one slice, once.
static bool all_rows(const plan& p, std::int64_t rows) {
    std::vector<int> seen(static_cast<std::size_t>(rows), 0);
    for (std::int64_t i = 0; i < p.slices(); ++i)
        for (std::int64_t row : p.at(i).rows) ++seen[static_cast<std::size_t>(row)];
    return std::accumulate(seen.begin(), seen.end(), 0) == rows && *std::min_element(seen.begin(), seen.end()) == 1;
}

// How much more there is to read in one slice than in another, as a share, and whether a slice has its rows from one run of all.
struct dealt {
    double unlike;
    bool in_one_run;
    explicit dealt(const plan& p, const std::vector<std::int64_t>& lengths) : unlike(0), in_one_run(true) {
        std::vector<double> steps;
        for (std::int64_t i = 0; i < p.slices(); ++i) {
            const slice& part = p.at(i);
            steps.push_back(0);
            for (std::int64_t row : part.rows) steps.back() += static_cast<double>(lengths[static_cast<std::size_t>(row)]);
            in_one_run = in_one_run && std::abs(part.rows.back() - part.rows.front()) + 1 == part.count();  // rows stand by length
        }
        unlike = 1 - *std::min_element(steps.begin(), steps.end()) / *std::max_element(steps.begin(), steps.end());
    }
};

static void test_deals() {
    std::vector<std::int64_t> lengths(66, 100);
    const dealt alike(plan(64, lengths.data(), 2, 100'000, 8), lengths);
    check(alike.in_one_run && alike.unlike == 0, "rows of one length are not dealt in one run a slice");
    for (std::int64_t rows : {26, 33, 34, 66}) {
        const plan p(rows, lengths.data(), 4, 100'000, 8);
        std::int64_t most = 0;
        for (std::int64_t i = 0; i < p.slices(); ++i) most = std::max(most, p.at(i).count());
        check(most == (rows + 3) / 4, "rows of one length are dealt unevenly");
    }
    for (std::size_t b = 0; b < lengths.size(); ++b) lengths[b] = 1 + static_cast<std::int64_t>(b * b) / 10;
    const dealt unlike(plan(64, lengths.data(), 2, 100'000, 8), lengths);
    check(!unlike.in_one_run && unlike.unlike < 0.1, "rows of unlike lengths are not dealt evenly");
}

// Every real step once, in the two directions between its place and its number; in `parts` parts, where more than `many` tokens have two.
// `alike`: they have about as many steps each, and the rows that one of two threads has.
static void test_order(const std::vector<std::int64_t>& lengths, std::int64_t many, int parts, bool alike, bool reverse) {
    const auto rows = static_cast<std::int64_t>(lengths.size());
    const plan p(rows, lengths.data(), 2, 100'000, 8);
    const token_order order(p, lengths.data(), reverse, many);
    const std::int64_t all = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
    check(order.parts() == parts, "tokens have other parts");
    check(order.count() == all && order.begin(0) == 0 && order.begin(order.parts()) == all, "not all steps are in the order");
    check(order.spacing() >= all && order.spacing() % 2 == 1, "blocks of a token fall on each other");
    if (alike) check(p.slices() == parts && std::abs(2 * order.begin(1) - all) * 10 <= all, "parts are unlike, or nobody's");
    std::int64_t next = 0;
    bool follows = order.parts() == p.slices();
    for (int part = 0; part < order.parts(); ++part) {
        const std::vector<std::int64_t>& mine = p.at(std::min(p.slices() - 1, std::int64_t{part})).rows;
        std::int64_t firsts = 0, left = 0;  // left: steps of the slice that are not in the part
        for (std::int64_t row : mine) left += lengths[static_cast<std::size_t>(row)];
        order.each(order.begin(part), order.begin(part + 1), [&](std::int64_t token, std::int64_t row, std::int64_t position) {
            const std::int64_t length = lengths[static_cast<std::size_t>(row)], step = reverse ? length - 1 - position : position;
            check(token == next++ && position >= 0 && position < length, "a step stands where none is");
            check(order.at(step, row) == token, "a step's number is another's");
            firsts += step == 0;
            check((step == 0) == (token < order.begin(part) + order.firsts(part)), "first steps are not known");
            const bool is_mine = std::find(mine.begin(), mine.end(), row) != mine.end();
            check(is_mine || !alike, "a thread's rows are in another's part");
            follows = follows && is_mine, --left;
        });
        follows = follows && left == 0;
        check(firsts == order.firsts(part), "first steps are counted wrongly");
    }
    check(next == all, "steps are missing");
    check(order.follows_slices() == follows, "whether parts are slices is not known");
    check(!alike || follows, "parts are not slices");
}

static void test_orders(bool reverse) {
    const std::vector<std::int64_t> seven(7, 30), eight(8, 30);
    test_order(seven, 0, 1, false, reverse);
    test_order(eight, 240, 1, false, reverse);
    test_order(eight, 239, 2, true, reverse);
    test_order(std::vector<std::int64_t>(64, 30), 128, 2, true, reverse);
    test_order({50, 10, 30, 40, 50, 20, 20, 90, 40, 40, 10, 80, 60, 70}, 100, 2, true, reverse);
    test_order({50, 10, 30, 40, 50, 20, 20, 90, 40, 40, 10, 80, 60, 70, 0}, 100, 2, true, reverse);
    test_order({300, 1, 1, 1, 1, 1, 1, 1, 1}, 100, 2, false, reverse);
    test_order({300, 0, 0, 0, 0, 0, 0, 0, 0}, 100, 1, false, reverse);  // rows without steps are none
    test_order({9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0}, 50, 2, false, reverse);  // which make slices other than parts
    test_order({3, 0}, 0, 1, false, reverse);
    test_order({0, 0, 0}, 0, 1, false, reverse);
}

// Members that need what the others did first, and one that comes late.
static void test_milestone() {
    milestone here;
    int written[3] = {};
    std::vector<std::thread> threads;
    for (int member = 0; member < 3; ++member) threads.emplace_back([&, member] {
        if (member == 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));
        written[member] = member + 1;
        here.reach();
        here.wait(3);
        check(written[0] == 1 && written[1] == 2 && written[2] == 3, "a member goes on before all are there");
    });
    for (std::thread& thread : threads) thread.join();
}

static void sleep_past_awake() { std::this_thread::sleep_for(std::chrono::milliseconds(8)); }

static void test_plans() {
    check(of(1, 1, 300'000).threads() == 1, "the first short call wakes nobody");
    check(of(1, 1, 300'000).members == 2, "a short call soon after another has a team");
    sleep_past_awake();
    check(of(1, 1, 300'000).threads() == 1, "a short call wakes others that sleep");
    sleep_past_awake();
    check(of(1, 100, 300'000).members == 2, "a long call of one row has a team, however late");
    sleep_past_awake();
    check(of(4, 100, 2'000'000).members == 2, "a long call of few rows with large weights has a team, however late");
    check(of(4, 100, 33'000).members == 1, "few rows with small weights wait for each other");
    check(of(4, 100, 33'000).slices() == 2, "few rows with small weights are not dealt out");
    check(of(1, 100, 10'000).threads() == 1, "one row with small weights has a team");
    check(of(64, 10, 100'000).slices() == 2, "many rows are not dealt out");
    check(of(4, 100, 2'000'000, 1).threads() == 1, "one thread is not one");
    for (std::int64_t rows : {1, 2, 3, 5, 7, 8, 64}) check(all_rows(of(rows, 100, 100'000), rows), "a row is read never or twice");
}

// Each member of a team of `members` meets the others many times; `late` ones come too late now and then.
static void test_team(int members, bool late) {
    barrier team(members);
    std::atomic<int> together{0}, apart{0};
    std::atomic<std::int64_t> met{0};
    std::vector<std::thread> threads;
    for (int member = 0; member < members; ++member) threads.emplace_back([&, member] {
        team.measure(member);
        for (int round = 1; round <= 200; ++round) {
            met.fetch_add(1);
            if (late && member == 1 && round == 100) std::this_thread::sleep_for(std::chrono::milliseconds(5));
            team.arrive(member);
            const bool stay = team.wait(member);
            (stay ? together : apart).fetch_add(1);
            if (!stay) return;
            check(met.load() >= round * members, "a member goes on before all have come");
        }
    });
    for (std::thread& thread : threads) thread.join();
    // On a busy machine any member may be late; then all part at the same meeting.
    check(apart == 0 || apart == members, "some members part and some do not");
    check(together % members == 0, "members part at different meetings");
    if (late) check(apart == members, "who waits long does not go on alone");
    if (late) check(!barrier::promising(1, 1'000'000'000), "a team is tried again at once");
}

int main() {
    test_plans();
    test_deals();
    for (bool reverse : {false, true}) test_orders(reverse);
    test_milestone();
    for (int members : {1, 2, 3, 4}) test_team(members, false);
    for (int members : {2, 3}) test_team(members, true);
    std::printf("plan: %s\n", failures == 0 ? "right" : "wrong");
    return failures == 0 ? 0 : 1;
}

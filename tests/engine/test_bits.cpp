// The same bits for 1, 2, 3 and 8 threads, and for every element of a batch on
// its own: random configurations, both types, every instruction set. Loops over
// numbers: the same bits for each wherever it stands.
//   ATTENTIVE_CONFIGS   how many, default 500
#include <cstring>

#include "check.h"
#include "coverage.h"
#include "cpu.h"
#include "kernels/table.h"
#include "random.h"

using namespace attentive_test;

namespace {

constexpr int kThreads[] = {1, 2, 3, 8};

template <class T> bool same_bits(const std::vector<T> &a, const std::vector<T> &b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T> struct Bits {
  std::vector<T> out, lse;
  std::vector<double> scores;
};

template <class T> bool same(const Bits<T> &a, const Bits<T> &b) {
  return same_bits(a.out, b.out) && same_bits(a.lse, b.lse) && same_bits(a.scores, b.scores);
}

template <class T> HeadView<const T> from_element(HeadView<const T> x, Index n) {
  x.data += n * x.element;
  return x;
}

// The engine on elements first ... last - 1 of the batch.
template <class T>
Bits<T> run(const Problem<T> &p, int threads, Index first, Index last, bool want_scores = true) {
  AttentionShape a = p.c.shape;
  a.batch = last - first;
  const Index n = first * a.free;
  AttentionOptions options = p.c.options();
  options.dropout.batch_offset += first;
  Mask &mask = options.mask;
  mask.dense = mask.dense == nullptr ? nullptr : mask.dense + first * mask.dense_batch;
  mask.query = mask.query == nullptr ? nullptr : mask.query + n * a.queries;
  mask.key = mask.key == nullptr ? nullptr : mask.key + n * a.keys;

  Answer<T> answer(a, want_scores);
  Bits<T> bits{answer.out, answer.lse, std::vector<double>(answer.scores.size())};
  Execution execution;
  execution.threads = threads;
  const HeadView<const T> q = from_element<T>(p.q.view(), n), k = from_element<T>(p.k.view(), n);
  attention_forward<T>(a, q, k, from_element<T>(p.v.view(), n), options,
                       head_rows(bits.out, a.queries, a.heads, a.value_size), bits.lse.data(),
                       execution);
  if (!want_scores)
    return bits;
  const Index row = a.queries * a.keys;
  const ScoreView view{
      bits.scores.data(), a.free * a.heads * row, a.heads * row, row, a.keys, 1, false};
  attention_scores<T>(a, q, k, options, bits.lse.data(), view, execution);
  return bits;
}

template <class T>
bool same_part(const std::vector<T> &whole, const std::vector<T> &part, Index at) {
  const auto begin = whole.begin() + at;
  return same_bits(std::vector<T>(begin, begin + static_cast<std::ptrdiff_t>(part.size())), part);
}

// Of how many runs with so many threads did that many really work?
struct Work {
  long runs = 0, all_worked = 0;
};

template <class T> void check(const Configuration &c, const char *level, Work (&work)[4]) {
  const Problem<T> p = draw_problem<T>(c);
  const Index batch = c.shape.batch;
  const Bits<T> whole = run(p, 1, 0, batch);
  bool good = true;
  for (int i = 0; i < 4; ++i) {
    reset_threads_used();
    const Bits<T> again = run(p, kThreads[i], 0, batch);
    good = good && same(whole, again);
    ++work[i].runs;
    work[i].all_worked += threads_used() == kThreads[i];
  }
  for (Index b = 0; b < batch; ++b) {
    const Bits<T> one = run(p, 2, b, b + 1);
    const auto part = [&](std::size_t size) { return b * static_cast<Index>(size); };
    good = good && same_part(whole.out, one.out, part(one.out.size())) &&
           same_part(whole.lse, one.lse, part(one.lse.size())) &&
           same_part(whole.scores, one.scores, part(one.scores.size()));
  }
  CHECK(good);
  if (!good)
    std::printf("FAIL %s %s %s | %s\n", c.replay().c_str(), level,
                sizeof(T) == 4 ? "float" : "double", c.describe().c_str());
}

// Whether so many threads are seen at work on one of a few runs over a batch of
// this size; the bits are those of one thread in any case.
template <class T> bool work_together(Index batch, int threads) {
  Configuration c;
  c.shape = {batch, 1, 600, 600, 8, 8, 64, 64};
  c.mask.queries = c.mask.keys = 600;
  c.mask.causal = true;
  const Problem<T> p = draw_problem<T>(c);
  const Bits<T> alone = run(p, 1, 0, batch, false);
  bool together = false;
  for (int attempt = 0; attempt < 5 && !together; ++attempt) {
    reset_threads_used();
    CHECK(same(alone, run(p, threads, 0, batch, false)));
    together = threads_used() == threads;
  }
  return together;
}

// Before anything is concluded from equal bits: on work that is large enough,
// each number of threads is seen at work.
template <class T> void threads_really_work(const char *level) {
  for (int threads : kThreads) {
    Index batch = 2;
    while (!work_together<T>(batch, threads) && batch < 64)
      batch *= 2;
    CHECK(batch < 64);
    std::printf("%s %s: %d threads worked together on a batch of %td\n", level,
                sizeof(T) == 4 ? "float" : "double", threads, batch);
  }
}

// What comes out for a number is the same in a vector and alone.
template <class T> void bits_anywhere() {
  constexpr Index kSize = 1000;
  const auto noise = [](std::uint64_t stream) {
    std::vector<T> x(kSize);
    fill_normal(9, stream, 0, 1, x.data(), kSize);
    return x;
  };
  const std::vector<T> x = noise(1), d_y = noise(2), before = noise(3);
  const std::vector<std::uint32_t> all(kSize, ~0u);
  // loop(i, n, to): the numbers from i on
  const auto compare = [&](const auto &loop) {
    std::vector<T> whole = before, single = before;
    loop(Index(0), kSize, whole.data());
    for (Index i = 0; i < kSize; ++i)
      loop(i, Index(1), single.data() + i);
    CHECK(same_bits(whole, single));
  };
  const ElementwiseKernels<T> &table = kernels<T>().elementwise;
  for (bool accumulate : {false, true}) {
    for (const CurveKernels<T> &curve : table.curves) {
      std::vector<T> y(kSize);
      curve.forward(x.data(), y.data(), kSize);
      compare([&](Index i, Index n, T *to) {
        curve.backward(x.data() + i, y.data() + i, d_y.data() + i, to, n, accumulate);
      });
    }
    compare([&](Index i, Index n, T *to) {
      table.multiply(x.data() + i, d_y.data() + i, to, n, accumulate);
    });
    compare([&](Index i, Index n, T *to) { table.scale(x.data() + i, T(1.1), to, n, accumulate); });
    compare([&](Index i, Index n, T *to) {
      table.keep(x.data() + i, all.data(), T(1.1), to, n, accumulate);
    });
  }
  for (const CurveKernels<T> &curve : table.curves)
    compare([&](Index i, Index n, T *to) { curve.forward(x.data() + i, to, n); });
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 2);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 500);
  const bool single = one != ~std::uint64_t{0};
  for (Level level : available_levels()) {
    set_level(level_name(level));
    threads_really_work<float>(level_name(level));
    threads_really_work<double>(level_name(level));
    bits_anywhere<float>();
    bits_anywhere<double>();
  }
  Limits limits;
  limits.budget = 3e7; // more than the engine leaves to one thread
  limits.longest = 400;
  Work work[4];
  Coverage coverage;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : count); ++number) {
    const Configuration c = draw_configuration(seed, number, limits);
    coverage.add(c);
    for (Level level : available_levels()) {
      set_level(level_name(level));
      check<float>(c, level_name(level), work);
      check<double>(c, level_name(level), work);
    }
  }
  set_level("auto");
  coverage.print();
  for (int i = 0; i < 4; ++i)
    std::printf("%d threads: all of them worked in %ld of %ld runs\n", kThreads[i],
                work[i].all_worked, work[i].runs);
  return attentive_test::finish("test_bits");
}

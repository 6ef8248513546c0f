// How fast the sibling layers are, without R: grouped heads in the core, as a
// share of the multiply-add peak of this same run; additive attention in tanh
// per second, as a share of the tanh alone (the kernel on numbers that stay in
// the first cache, without softmax and values), also measured in this run.
//
//   siblings [--threads n] [--level name] [--seconds s]
//
// See bench/README.md.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "additive_attention.h"
#include "attention_tiles.h"
#include "cpu.h"
#include "peak.h"

using namespace attentive;

namespace {

using Clock = std::chrono::steady_clock;

double best_of(double budget, const std::function<void()> &work) {
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  work();
  double best = 1e300;
  const Clock::time_point start = Clock::now();
  int runs = 0;
  do {
    const Clock::time_point begin = Clock::now();
    work();
    best = std::min(best, since(begin));
  } while (++runs < 3 || since(start) < budget);
  return best;
}

std::vector<float> wave(Index size, double frequency) {
  std::vector<float> x(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(std::sin(frequency * static_cast<double>(i + 1)));
  return x;
}

void grouped(const Execution &execution, double seconds) {
  constexpr long kRounds = 20000;
  const int tasks = execution.threads * 16;
  std::vector<double> work(static_cast<std::size_t>(tasks));
  const double peak_time = best_of(seconds, [&] {
    parallel_for(tasks, execution, [&](Index task, int) {
      work[static_cast<std::size_t>(task)] = peak_round_float(active_level(), kRounds);
    });
  });
  double peak = 0;
  for (double w : work)
    peak += w / peak_time;

  AttentionShape a;
  a.batch = 1;
  a.queries = a.keys = 2048;
  a.heads = 8;
  a.groups = 2;
  a.key_size = a.value_size = 64;
  const std::vector<float> q = wave(2048 * 8 * 64, 0.7), k = wave(2048 * 2 * 64, 0.3),
                           v = wave(2048 * 2 * 64, 1.1);
  std::vector<float> out(q.size());
  AttentionOptions options;
  options.scale = 0.125;
  options.mask.queries = options.mask.keys = 2048;
  for (const bool causal : {false, true}) {
    options.mask.causal = causal;
    const double time = best_of(seconds, [&] {
      attention_forward<float>(a, {q.data(), 0, 512, 64}, {k.data(), 0, 128, 64},
                               {v.data(), 0, 128, 64}, options, {out.data(), 0, 512, 64}, nullptr,
                               execution);
    });
    const double flops = 4.0 * 2048 * 2048 * 8 * 64 / (causal ? 2 : 1);
    std::printf("grouped 8 / 2 heads of 64, 1 x 2048%s: %.2f ms, %.1f GFLOP/s, %.2f of peak\n",
                causal ? ", causal" : "", time * 1e3, flops / time * 1e-9, flops / time / peak);
  }
}

// tanh per second of the kernel alone, on all threads.
double tanh_alone(const Execution &execution, double seconds) {
  constexpr Index kKeys = 16, kSize = 64, kRounds = 2000;
  const std::vector<float> q = wave(kSize * kMaxGroup, 0.7), k = wave(kKeys * kSize, 0.3),
                           scale = wave(kSize, 1);
  const int lanes = 2 * kernels<float>().attention.lanes, tasks = 16 * execution.threads;
  const double time = best_of(seconds, [&] {
    parallel_for(tasks, execution, [&](Index, int) {
      float p[kKeys * kMaxGroup], max[kMaxGroup];
      AdditiveTile<float> tile;
      tile.q = q.data();
      tile.k = k.data();
      tile.k_stride = tile.key_size = kSize;
      tile.scale = scale.data();
      tile.inside = tile.outside = static_cast<float>(2 * kLog2E);
      tile.end = kKeys;
      tile.p = p;
      for (Index round = 0; round < kRounds / execution.threads; ++round)
        kernels<float>().additive.scores(tile, max);
    });
  });
  return static_cast<double>(tasks * (kRounds / execution.threads) * kKeys * kSize * lanes) / time;
}

void additive(const Execution &execution, double seconds) {
  const double alone = tanh_alone(execution, seconds);
  std::printf("tanh alone: %.3g per second\n", alone);
  AttentionShape a;
  a.batch = 1;
  a.queries = a.keys = 512;
  a.heads = a.groups = 1;
  a.key_size = a.value_size = 64;
  const std::vector<float> q = wave(512 * 64, 0.7), k = wave(512 * 64, 0.3),
                           v = wave(512 * 64, 1.1), scale = wave(64, 1),
                           upstream = wave(512 * 64, 0.2);
  std::vector<float> out(q.size()), d_q(q.size()), d_k(q.size()), d_v(q.size()), d_scale(64);
  AdditiveScore<float> score;
  score.scale = scale.data();
  AttentionOptions options;
  options.mask.queries = options.mask.keys = 512;
  const PlainInputs<float> inputs{q.data(), k.data(), v.data()};
  const double count = 512.0 * 512 * 64;
  const double forward = best_of(seconds, [&] {
    additive_attention_forward<float>(a, inputs, score, options, out.data(), ScoreView(),
                                      execution);
  });
  std::printf("additive 1 x 512, 64 features, forward: %.2f ms, %.3g tanh per second, ",
              forward * 1e3, count / forward);
  std::printf("%.2f of alone\n", count / forward / alone);
  const double backward = best_of(seconds, [&] {
    additive_attention_backward<float>(a, inputs, score, options, upstream.data(), nullptr,
                                       {d_q.data(), d_k.data(), d_v.data()},
                                       {d_scale.data(), nullptr, nullptr}, execution);
  });
  std::printf("the same, backward: %.2f ms, %.2f times forward\n", backward * 1e3,
              backward / forward);
}

} // namespace

int main(int argc, char **argv) {
  Execution execution;
  execution.threads = 2;
  double seconds = 0.4;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--threads") == 0)
      execution.threads = std::atoi(argv[i + 1]);
    else if (std::strcmp(argv[i], "--seconds") == 0)
      seconds = std::atof(argv[i + 1]);
    else if (std::strcmp(argv[i], "--level") == 0)
      set_level(argv[i + 1]);
  }
  std::printf("%s, %d threads\n", level_name(active_level()), execution.threads);
  grouped(execution, seconds);
  additive(execution, seconds);
  return 0;
}

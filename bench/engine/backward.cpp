// How fast forward and backward of the tiled core are together, without R:
// share of the machine's multiply-add peak, measured in this same run, on the
// useful work (3.5 times the forward pass's; causal counts half).
//
//   backward [--threads n] [--level name] [--double] [--seconds s] [row ...]
//
// `row` picks rows whose name contains it. See bench/README.md.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "attention.h"
#include "cpu.h"
#include "peak.h"

using namespace attentive;

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  int threads = 2;
  double seconds = 0.6; // of each row
  std::vector<std::string> rows;
  bool wants(const std::string &name) const {
    return rows.empty() || std::any_of(rows.begin(), rows.end(), [&](const std::string &row) {
             return name.find(row) != std::string::npos;
           });
  }
};

double seconds_of(const std::function<void()> &work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double best_of(double budget, const std::function<void()> &work) {
  work();
  double best = 1e300, spent = 0;
  for (int runs = 0; runs < 3 || spent < budget; ++runs) {
    const double time = seconds_of(work);
    best = std::min(best, time);
    spent += time;
  }
  return best;
}

// Operations per second of `threads` cores at once.
template <class T> double measure_peak(Level level, int threads, double seconds) {
  constexpr long kRounds = 200000;
  Execution execution;
  execution.threads = threads;
  double work = 0;
  const double time = best_of(seconds, [&] {
    parallel_for(threads, execution, [&](Index task, int) {
      const double done =
          sizeof(T) == 4 ? peak_round_float(level, kRounds) : peak_round_double(level, kRounds);
      if (task == 0)
        work = done;
    });
  });
  return work * threads / time;
}

struct Row {
  const char *name;
  Index batch, length, heads, size;
  bool causal;
  double dropout;
  double goal; // share of peak
};

const Row kRows[] = {
    {"2048x8x64 dense", 1, 2048, 8, 64, false, 0, 0.86},
    {"2048x8x64 causal", 1, 2048, 8, 64, true, 0, 0.82},
    {"2048x8x64 dense dropout", 1, 2048, 8, 64, false, 0.1, 0.82},
    {"2048x8x64 causal dropout", 1, 2048, 8, 64, true, 0.1, 0.78},
    {"4x512x8x64 dense dropout", 4, 512, 8, 64, false, 0.1, 0.76},
    {"4x512x8x64 dense", 4, 512, 8, 64, false, 0, 0},
    {"8x128x8x64 dense", 8, 128, 8, 64, false, 0, 0},
    {"2048x8x32 dense", 1, 2048, 8, 32, false, 0, 0},
    {"2048x8x128 dense", 1, 2048, 8, 128, false, 0, 0},
    {"2048x1x64 dense", 1, 2048, 1, 64, false, 0, 0},
};

// The arrays of one row, in the layout that the projections leave: [B, T, H, K].
template <class T> struct Arrays {
  AttentionShape shape;
  std::vector<T> q, k, v, out, d_out, d_q, d_k, d_v, lse;
  AttentionOptions options;
  Execution execution;

  Arrays(const Row &row, int threads) {
    shape.batch = row.batch;
    shape.queries = shape.keys = row.length;
    shape.heads = shape.groups = row.heads;
    shape.key_size = shape.value_size = row.size;
    const auto size = static_cast<std::size_t>(row.batch * row.length * row.heads * row.size);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::vector<T> *array : {&q, &k, &v, &d_out}) {
      array->resize(size);
      for (T &x : *array)
        x = normal(random);
    }
    for (std::vector<T> *array : {&out, &d_q, &d_k, &d_v})
      array->resize(size);
    lse.resize(static_cast<std::size_t>(row.batch * row.heads * row.length));
    options.scale = 1 / std::sqrt(static_cast<double>(row.size));
    options.mask.causal = row.causal;
    options.mask.queries = options.mask.keys = row.length;
    options.dropout.rate = row.dropout;
    options.dropout.seed = 1;
    execution.threads = threads;
  }

  template <class P> HeadView<P> view(P *data) const {
    const Index row = shape.heads * shape.key_size;
    return {data, shape.queries * row, row, shape.key_size};
  }
  // While the forward pass has no dropout it is timed without.
  void forward(bool drop = true) {
    AttentionOptions used = options;
    if (!drop)
      used.dropout.rate = 0;
    attention_forward<T>(shape, view<const T>(q.data()), view<const T>(k.data()),
                         view<const T>(v.data()), used, view<T>(out.data()), lse.data(), execution);
  }
  void backward() {
    attention_backward<T>(shape, view<const T>(q.data()), view<const T>(k.data()),
                          view<const T>(v.data()), options, view<const T>(out.data()), lse.data(),
                          view<const T>(d_out.data()), nullptr, view<T>(d_q.data()),
                          view<T>(d_k.data()), view<T>(d_v.data()), execution);
  }
  double forward_work() const {
    const double pairs = static_cast<double>(shape.queries) * static_cast<double>(shape.keys);
    return 4 * pairs * (options.mask.causal ? 0.5 : 1) *
           static_cast<double>(shape.batch * shape.heads * shape.key_size);
  }
};

template <class T> void run_row(const Row &row, const Settings &settings, double peak) {
  Arrays<T> arrays(row, settings.threads);
  bool drops = row.dropout > 0;
  try {
    arrays.forward(drops);
  } catch (const std::logic_error &) {
    drops = false;
    arrays.forward(drops);
  }
  const double forward = best_of(settings.seconds / 3, [&] { arrays.forward(drops); });
  const double backward = best_of(settings.seconds, [&] { arrays.backward(); });
  const double work = arrays.forward_work();
  std::printf("  %-26s %8.2f + %8.2f ms  forward %.3f  backward %.3f  both %.3f", row.name,
              forward * 1e3, backward * 1e3, work / forward / peak, 2.5 * work / backward / peak,
              3.5 * work / (forward + backward) / peak);
  if (row.dropout > 0 && !drops)
    std::printf("  (forward without dropout)");
  if (row.goal > 0)
    std::printf("  asked %.2f", row.goal);
  std::printf("\n");
}

template <class T> void run(const Settings &settings) {
  const double peak = measure_peak<T>(active_level(), settings.threads, 0.2);
  std::printf("%s, %s, %d threads: peak %.1f GFLOP/s\n", level_name(active_level()),
              sizeof(T) == 4 ? "float" : "double", settings.threads, peak / 1e9);
  for (const Row &row : kRows)
    if (settings.wants(row.name))
      run_row<T>(row, settings, peak);
}

} // namespace

int main(int argc, char **argv) {
  Settings settings;
  bool wide = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--threads" && i + 1 < argc)
      settings.threads = std::atoi(argv[++i]);
    else if (word == "--level" && i + 1 < argc)
      set_level(argv[++i]);
    else if (word == "--seconds" && i + 1 < argc)
      settings.seconds = std::atof(argv[++i]);
    else if (word == "--double")
      wide = true;
    else
      settings.rows.push_back(word);
  }
  if (wide)
    run<double>(settings);
  else
    run<float>(settings);
}

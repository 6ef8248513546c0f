// How fast the tiled core is, without R: time, useful work per second (causal
// counts half), share of the machine's multiply-add peak measured in this same
// run, and the memory that the engine asked for per thread.
//
//   core [--threads n] [--level name] [--double] [--seconds s] [row ...]
//
// `row` picks rows whose name contains it. See bench/README.md.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "attention.h"
#include "cpu.h"
#include "memory.h"
#include "peak.h"

using namespace attentive;

// Every allocation of this program is counted, so that what the core asks for
// beyond its arrays is known and not estimated.
#if defined(__GLIBC__)
#include <malloc.h>
#include <atomic>
namespace {
std::atomic<long long> bytes_now{0}, bytes_most{0};
}
extern "C" {
void *__libc_malloc(std::size_t);
void __libc_free(void *);
void *malloc(std::size_t size) {
  void *block = __libc_malloc(size);
  const long long now = bytes_now += static_cast<long long>(malloc_usable_size(block));
  long long most = bytes_most;
  while (now > most && !bytes_most.compare_exchange_weak(most, now)) {
  }
  return block;
}
void free(void *block) {
  bytes_now -= static_cast<long long>(malloc_usable_size(block));
  __libc_free(block);
}
}
long long most_bytes_during(const std::function<void()> &work) {
  release_kept_memory(); // what earlier calls left would not be asked for again
  const long long before = bytes_now;
  bytes_most = before;
  work();
  return bytes_most - before;
}
#else
long long most_bytes_during(const std::function<void()> &) { return -1; }
#endif

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  int threads = 2;
  double seconds = 0.4; // of each row
  std::vector<std::string> rows;
  bool wants(const std::string &name) const {
    if (rows.empty())
      return true;
    for (const std::string &row : rows)
      if (name.find(row) != std::string::npos)
        return true;
    return false;
  }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double best_of(double budget, const std::function<void()> &work) {
  work();
  double best = 1e300;
  const Clock::time_point start = Clock::now();
  int runs = 0;
  do {
    const Clock::time_point begin = Clock::now();
    work();
    best = std::min(best, seconds_since(begin));
  } while (++runs < 3 || seconds_since(start) < budget);
  return best;
}

// Operations per second of `threads` cores at once.
template <class T> double measure_peak(Level level, int threads, double seconds) {
  constexpr long kRounds = 20000;
  const int tasks = threads * 16; // so that threads which start late do their share
  Execution execution;
  execution.threads = threads;
  std::vector<double> work(tasks);
  const double time = best_of(seconds, [&] {
    parallel_for(tasks, execution, [&](Index task, int) {
      work[task] =
          sizeof(T) == 4 ? peak_round_float(level, kRounds) : peak_round_double(level, kRounds);
    });
  });
  double total = 0;
  for (double w : work)
    total += w;
  return total / time;
}

struct Row {
  const char *name;
  Index batch, length, heads, size;
  bool causal;
  Index window;
  int padding; // 0 none, 1 half of the keys, 2 half of keys and queries
  double goal; // share of peak, or share of the row `against`
};

// The arrays of one row, in the layout that the projections leave: [B, T, H, K].
template <class T> struct Arrays {
  AttentionShape shape;
  std::vector<T> q, k, v, out;
  std::vector<std::uint8_t> padding;
  AttentionOptions options;

  explicit Arrays(const Row &row) {
    shape.batch = row.batch;
    shape.queries = shape.keys = row.length;
    shape.heads = shape.groups = row.heads;
    shape.key_size = shape.value_size = row.size;
    const Index size = row.batch * row.length * row.heads * row.size;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::vector<T> *array : {&q, &k, &v}) {
      array->resize(size);
      for (T &x : *array)
        x = normal(random);
    }
    out.resize(size);
    options.scale = 1 / std::sqrt(double(row.size));
    options.mask.causal = row.causal;
    options.mask.window = row.window;
    options.mask.queries = options.mask.keys = row.length;
    if (row.padding != 0) {
      padding.resize(row.batch * row.length);
      for (Index b = 0; b < row.batch; ++b) // lengths around one half
        for (Index t = 0; t < row.length; ++t)
          padding[b * row.length + t] =
              t < row.length / 4 + (row.length / 2) * b / std::max<Index>(1, row.batch - 1);
      options.mask.key = padding.data();
      if (row.padding == 2)
        options.mask.query = padding.data();
    }
  }

  template <class P> HeadView<P> view(P *data) const {
    const Index row = shape.heads * shape.key_size;
    return {data, shape.queries * row, row, shape.key_size};
  }

  void forward(int threads) {
    Execution execution;
    execution.threads = threads;
    attention_forward<T>(shape, view<const T>(q.data()), view<const T>(k.data()),
                         view<const T>(v.data()), options, view<T>(out.data()),
                         static_cast<T *>(nullptr), execution);
  }

  double useful() const {
    const double pairs = double(shape.queries) * shape.keys * (options.mask.causal ? 0.5 : 1);
    return 4 * pairs * shape.batch * shape.heads * shape.key_size;
  }
};

const Row kRows[] = {
    {"2048x8x64 dense", 1, 2048, 8, 64, false, 0, 0, 0.86},
    {"2048x8x64 causal", 1, 2048, 8, 64, true, 0, 0, 0.83},
    {"512x8x64 dense", 1, 512, 8, 64, false, 0, 0, 0.84},
    {"512x8x64 causal", 1, 512, 8, 64, true, 0, 0, 0.75},
    {"128x8x64 dense", 1, 128, 8, 64, false, 0, 0, 0.65},
    {"128x8x64 causal", 1, 128, 8, 64, true, 0, 0, 0},
    {"16x64x12x32 dense", 16, 64, 12, 32, false, 0, 0, 0.55},
    {"4096x8x128 dense", 1, 4096, 8, 128, false, 0, 0, 0.85},
    {"4096x8x64 dense", 1, 4096, 8, 64, false, 0, 0, 0.85},
    {"4096x8x40 dense", 1, 4096, 8, 40, false, 0, 0, 0.72},
    {"4096x8x32 dense", 1, 4096, 8, 32, false, 0, 0, 0.78},
    {"4096x8x16 dense", 1, 4096, 8, 16, false, 0, 0, 0.50},
    {"4096x8x80 dense", 1, 4096, 8, 80, false, 0, 0, 0.75},
    {"4096x8x96 dense", 1, 4096, 8, 96, false, 0, 0, 0.75},
    {"4096x4x256 dense", 1, 4096, 4, 256, false, 0, 0, 0.75},
};

template <class T> void run_rows(const Settings &settings, double peak) {
  for (const Row &row : kRows) {
    if (!settings.wants(row.name))
      continue;
    Arrays<T> arrays(row);
    const double time = best_of(settings.seconds, [&] { arrays.forward(settings.threads); });
    const double rate = arrays.useful() / time;
    const long long extra = most_bytes_during([&] { arrays.forward(settings.threads); });
    std::printf("  %-22s %9.3f ms %7.1f GFLOP/s  share %.3f  %4lld KiB a thread", row.name,
                time * 1e3, rate / 1e9, rate / peak, extra / 1024 / settings.threads);
    if (row.goal > 0)
      std::printf("  asked %.2f", row.goal);
    std::printf("\n");
  }
}

// Time of a masked row over the time of the same row without its mask.
template <class T> void run_ratios(const Settings &settings) {
  const Row rows[] = {
      {"8x512 half padded: keys", 8, 512, 8, 64, false, 0, 1, 0.58},
      {"8x512 half padded: both", 8, 512, 8, 64, false, 0, 2, 0.35},
      {"window 128 of 4096", 1, 4096, 8, 64, false, 128, 0, 0.08},
  };
  for (const Row &row : rows) {
    if (!settings.wants(row.name))
      continue;
    Row full = row;
    full.window = full.padding = 0;
    Arrays<T> masked(row), dense(full);
    const double whole = best_of(settings.seconds / 2, [&] { dense.forward(settings.threads); });
    const double time = best_of(settings.seconds / 2, [&] { masked.forward(settings.threads); });
    std::printf("  %-26s %9.3f ms of %9.3f: %.3f  asked %.2f\n", row.name, time * 1e3,
                whole * 1e3, time / whole, row.goal);
  }
}

// The layer around the core of this row costs about this many times the core:
// four products with square weights against the core's own.
double layer_work(const Row &row) {
  const double width = double(row.heads * row.size);
  return 8 * row.batch * row.length * width * width;
}

// Forward with all scores, or their mean over heads, into R's order of doubles
// (batch, head, query, key, the first contiguous), against the time of a whole
// layer without scores at the share of peak that projections reach.
template <class T> void run_scores(const Settings &settings, double peak) {
  const Row row = {"scores", 1, 2048, 8, 64, false, 0, 0, 0};
  if (!settings.wants(row.name))
    return;
  Arrays<T> arrays(row);
  const AttentionShape &shape = arrays.shape;
  std::vector<T> lse(shape.batch * shape.heads * shape.queries);
  Execution execution;
  execution.threads = settings.threads;
  const double forward = best_of(settings.seconds, [&] { arrays.forward(settings.threads); });
  const double layer = forward + layer_work(row) / (0.9 * peak);
  for (bool mean : {false, true})
    for (bool fresh : {false, true}) {
      const Index heads = mean ? 1 : shape.heads;
      const Index size = shape.batch * heads * shape.queries * shape.keys;
      std::vector<double> kept(fresh ? 0 : size);
      const double time = best_of(settings.seconds, [&] {
        Buffer<double> own(fresh ? size : 0);
        ScoreView scores;
        scores.data = fresh ? own.data() : kept.data();
        scores.batch = 1;
        scores.head = shape.batch;
        scores.query = shape.batch * heads;
        scores.key = shape.batch * heads * shape.queries;
        scores.mean_over_heads = mean;
        attention_forward<T>(
            shape, arrays.template view<const T>(arrays.q.data()),
            arrays.template view<const T>(arrays.k.data()),
            arrays.template view<const T>(arrays.v.data()), arrays.options,
            arrays.template view<T>(arrays.out.data()), lse.data(), execution);
        attention_scores<T>(shape, arrays.template view<const T>(arrays.q.data()),
                            arrays.template view<const T>(arrays.k.data()), arrays.options,
                            lse.data(), scores, execution);
      });
      std::printf("  2048x8x64 with %s scores, %s memory: %.3f ms; a layer takes %.2f of the time "
                  "without, asked %.1f\n",
                  mean ? "mean" : "all", fresh ? "fresh" : "kept", time * 1e3,
                  (time + layer - forward) / layer, mean ? 1.5 : 2.5);
    }
}

template <class T> void run(const Settings &settings) {
  const Level level = active_level();
  const double peak = measure_peak<T>(level, settings.threads, 0.2);
  std::printf("%s, %s, %d threads: peak %.1f GFLOP/s\n", level_name(level),
              sizeof(T) == 4 ? "float" : "double", settings.threads, peak / 1e9);
  run_rows<T>(settings, peak);
  run_ratios<T>(settings);
  run_scores<T>(settings, peak);
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

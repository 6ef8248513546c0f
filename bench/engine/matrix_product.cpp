// Time of the product and of the doorway's conversions, as a share of the peak
// and of a plain copy measured in the same run: matrix_product [threads] [level]. See
// bench/README.md.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "cpu.h"
#include "layout.h"
#include "matmul.h"
#include "peak.h"

using attentive::Buffer;
using attentive::Index;
using attentive::MatrixView;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Body> double best_time(double budget, Body body) {
  double best = 1e9;
  const double end = seconds() + budget;
  for (int runs = 0; runs < 5 || seconds() < end; ++runs) { // the first one meets new memory
    const double start = seconds();
    body();
    best = std::min(best, seconds() - start);
  }
  return best;
}

// GFLOP/s in single precision of so many threads at once.
double peak_gflops(int threads) {
  Buffer<double> work(threads);
  const double time = best_time(0.2, [&] {
    attentive::parallel_for(threads, {threads, nullptr}, [&](Index task, int) {
      work[task] = peak_round_float(attentive::active_level(), 200000);
    });
  });
  double total = 0;
  for (int i = 0; i < threads; ++i)
    total += work[i];
  return total / time / 1e9;
}

template <class T> Buffer<T> random_buffer(Index size) {
  std::mt19937 stream(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  Buffer<T> x(size);
  for (Index i = 0; i < size; ++i)
    x[i] = static_cast<T>(uniform(stream));
  return x;
}

struct Shape {
  Index m, n, k;
  bool turn_a, turn_b;
  const char *what;
};

template <class T> void time_product(const Shape &s, int threads, double peak) {
  Buffer<T> a = random_buffer<T>(s.m * s.k), b = random_buffer<T>(s.k * s.n), c(s.m * s.n);
  Buffer<T> bias = random_buffer<T>(s.n);
  const MatrixView<const T> av{a.data(), s.m, s.k, s.turn_a ? 1 : s.k, s.turn_a ? s.m : 1};
  const MatrixView<const T> bv{b.data(), s.k, s.n, s.turn_b ? 1 : s.n, s.turn_b ? s.k : 1};
  const MatrixView<T> cv{c.data(), s.m, s.n, s.n, 1};
  const double time = best_time(0.15, [&] {
    attentive::matmul<T>(av, bv, cv, bias.data(), {}, {threads, nullptr});
  });
  const double gflops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) *
                        static_cast<double>(s.k) / time / 1e9;
  const double share = gflops / (sizeof(T) == 4 ? peak : peak / 2);
  std::printf("  %-6s %6td %5td %6td %s%s %9.2f us %7.1f GFLOP/s %5.2f of peak  %s\n",
              sizeof(T) == 4 ? "float" : "double", s.m, s.n, s.k, s.turn_a ? "A'" : "A ",
              s.turn_b ? "B'" : "B ", time * 1e6, gflops, share, s.what);
}

void time_layout(Index batch, Index tokens, Index features, int threads) {
  const Index dims[] = {batch, tokens, features}, size = batch * tokens * features;
  const int order[] = {0, 1, 2};
  Buffer<double> x = random_buffer<double>(size), back(size);
  Buffer<float> y(size);
  const attentive::Execution execution{threads, nullptr};
  const double in = best_time(
      0.1, [&] { attentive::from_column_major(x.data(), dims, 3, order, y.data(), execution); });
  const double out = best_time(
      0.1, [&] { attentive::to_column_major(y.data(), dims, 3, order, back.data(), execution); });
  const double copy = best_time(
      0.1, [&] { std::memcpy(back.data(), x.data(), static_cast<std::size_t>(size) * 8); });
  std::printf("  [%td, %td, %td]: in %.2f us, out %.2f us, memcpy of the doubles %.2f us\n", batch,
              tokens, features, in * 1e6, out * 1e6, copy * 1e6);
}

const Shape kShapes[] = {
    {2048, 512, 512, false, false, "projection"},
    {1024, 512, 512, false, false, "projection, 8 x 128 tokens"},
    {2048, 512, 512, false, true, "input gradient"},
    {512, 512, 2048, true, false, "weight gradient"},
    {512, 512, 16384, true, false, "weight gradient, long"},
    {128, 768, 768, false, false, ""},
    {4096, 4096, 1024, false, false, ""},
    {4096, 64, 64, false, false, "tall and skinny"},
    {4096, 20, 512, false, false, "few columns"},
    {4096, 512, 8, false, false, "small inner"},
    {1, 512, 512, false, false, "one token"},
    {16, 32, 32, false, false, "tiny"},
    {16, 32, 32, true, false, "tiny"},
    {16, 32, 32, false, true, "tiny"},
    {64, 64, 64, false, false, "small"},
};

} // namespace

int main(int argc, char **argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  attentive::set_level(argc > 2 ? argv[2] : "");
  const double peak = peak_gflops(threads);
  std::printf("%s, %d threads, peak %.1f GFLOP/s in single precision\n",
              attentive::level_name(attentive::active_level()), threads, peak);
  for (const Shape &shape : kShapes)
    time_product<float>(shape, threads, peak);
  for (int i : {0, 2, 3})
    time_product<double>(kShapes[i], threads, peak);
  time_layout(1, 2048, 512, threads);
  time_layout(8, 128, 512, threads);
  time_layout(1, 16, 32, threads);
}

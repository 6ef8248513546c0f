// The doorway's conversions against a naive loop over all indices.
#include "../../src/engine/layout.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

using attentive::Index;

namespace {

long checks = 0, failures = 0;

// R's column-major index of each row-major position.
std::vector<std::size_t> naive(const std::vector<Index> &dims, const std::vector<int> &order) {
  std::size_t total = 1;
  std::vector<Index> stride(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    stride[i] = static_cast<Index>(total);
    total *= static_cast<std::size_t>(dims[i]);
  }
  std::vector<std::size_t> from(total);
  std::vector<Index> index(dims.size(), 0);
  for (std::size_t position = 0; position < total; ++position) {
    Index at = 0;
    for (std::size_t i = 0; i < dims.size(); ++i)
      at += index[i] * stride[static_cast<std::size_t>(order[i])];
    from[position] = static_cast<std::size_t>(at);
    for (std::size_t i = dims.size(); i-- > 0;) {
      if (++index[i] < dims[static_cast<std::size_t>(order[i])])
        break;
      index[i] = 0;
    }
  }
  return from;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

template <class S, class T>
void check_one(const std::vector<Index> &dims, const std::vector<int> &order, int threads) {
  const std::vector<std::size_t> from = naive(dims, order);
  std::vector<S> src(from.size() + 1);
  for (std::size_t i = 0; i < from.size(); ++i)
    src[i] = static_cast<S>((i * 7919) % 100003);
  if (!from.empty() && std::is_same_v<S, int>)
    src[from.size() / 2] = std::numeric_limits<S>::min();
  const T guard = static_cast<T>(77);
  std::vector<T> dst(from.size() + 1, guard);
  const int rank = static_cast<int>(dims.size());
  attentive::from_column_major(src.data(), dims.data(), rank, order.data(), dst.data(),
                               {threads, nullptr});
  bool good = dst[from.size()] == guard;
  for (std::size_t i = 0; i < from.size(); ++i) {
    double want = static_cast<double>(src[from[i]]);
    if (std::is_same_v<S, int> && src[from[i]] == std::numeric_limits<S>::min())
      want = std::nan("");
    if (std::is_same_v<T, std::uint8_t>)
      want = src[from[i]] != 0;
    good = good && same(static_cast<double>(dst[i]), want);
  }
  if constexpr (!std::is_same_v<T, std::uint8_t>) {
    std::vector<double> back(from.size() + 1, 77.0);
    attentive::to_column_major(dst.data(), dims.data(), rank, order.data(), back.data(),
                               {threads, nullptr});
    good = good && back[from.size()] == 77.0;
    for (std::size_t i = 0; i < from.size(); ++i)
      good = good && same(back[from[i]], static_cast<double>(dst[i]));
  }
  ++checks;
  if (!good) {
    ++failures;
    std::fprintf(stderr, "FAILED: rank %d, first dim %td\n", rank, rank > 0 ? dims[0] : 0);
  }
}

void check_all_types(const std::vector<Index> &dims, const std::vector<int> &order, int threads) {
  check_one<double, float>(dims, order, threads);
  check_one<double, double>(dims, order, threads);
  check_one<double, std::uint8_t>(dims, order, threads);
  check_one<int, float>(dims, order, threads);
  check_one<int, double>(dims, order, threads);
  check_one<int, std::uint8_t>(dims, order, threads);
}

// Every order of axes of every shape with the extents below.
void check_shapes(int rank, const std::vector<Index> &extents) {
  std::vector<std::size_t> digit(static_cast<std::size_t>(rank), 0);
  for (;;) {
    std::vector<Index> dims;
    for (std::size_t d : digit)
      dims.push_back(extents[d]);
    std::vector<int> order(dims.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] = static_cast<int>(i);
    do {
      check_one<double, float>(dims, order, 1);
      if (rank <= 3)
        check_all_types(dims, order, 2);
    } while (std::next_permutation(order.begin(), order.end()));
    std::size_t i = 0;
    while (i < digit.size() && ++digit[i] == extents.size())
      digit[i++] = 0;
    if (i == digit.size())
      return;
  }
}

} // namespace

int main() {
  check_shapes(1, {0, 1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 257, 20000});
  check_shapes(2, {0, 1, 2, 3, 4, 5, 8, 9, 17, 67, 260, 515});
  check_shapes(3, {0, 1, 3, 4, 8, 13, 65});
  check_shapes(4, {1, 2, 5, 9});
  check_shapes(5, {1, 2, 5});
  check_shapes(6, {1, 3});
  check_all_types({8, 128, 512}, {0, 1, 2}, 2);
  check_all_types({3, 7, 300, 40}, {0, 2, 1, 3}, 3);
  check_all_types({2048, 64}, {0, 1}, 8);
  std::printf("layout: %ld checks, worst ratio %ld\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

// Initializers, regularizers and constraints against their definitions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "constraints.h"
#include "initializers.h"
#include "interrupt.h"
#include "random.h"
#include "regularizers.h"

using namespace attentive;
using attentive_test::is_interrupted;

namespace {

using Vector = std::vector<double>;

Vector normals(Index size, std::uint64_t stream) {
  Vector x(static_cast<std::size_t>(size));
  fill_normal(11, stream, 0, 1, x.data(), size);
  return x;
}

bool near(double a, double b, double bound) { return std::fabs(a - b) <= bound; }

void fans() {
  const auto are = [](Fans fans, double in, double out) {
    return fans.in == in && fans.out == out;
  };
  CHECK(are(fans_of({}), 1, 1));
  CHECK(are(fans_of({7}), 7, 7));
  CHECK(are(fans_of({4, 3}), 4, 3));
  CHECK(are(fans_of({6, 2, 5}), 12, 30));
  CHECK(are(fans_of({2, 5, 3, 4}), 30, 40));
  CHECK(are(fans_of({6, 2, 5}, {0}, {1, 2}), 6, 10));
}

void seeds() {
  CHECK(key_of_seed(1) != key_of_seed(2));
  CHECK(key_of_seed(-1) != key_of_seed(1));
  CHECK(key_of_seed(0) != 0);
  // The first output of SplitMix64 with state 0.
  CHECK(key_of_seed(0) == 0xE220A8397B1DCDAFu);
}

void variance_scaling() {
  const Index size = 200000;
  Vector x(size);
  const RandomSource source{key_of_seed(5), 2};
  for (FanMode mode : {FanMode::in, FanMode::out, FanMode::average})
    for (Distribution distribution : {Distribution::uniform, Distribution::truncated_normal,
                                      Distribution::untruncated_normal}) {
      const Fans fans{20, 50};
      const double n = mode == FanMode::in ? 20 : mode == FanMode::out ? 50 : 35;
      fill_variance_scaling({3, mode, distribution}, fans, source, x.data(), size);
      double squares = 0, largest = 0;
      for (double value : x) {
        squares += value * value;
        largest = std::max(largest, std::fabs(value));
      }
      CHECK(near(squares / static_cast<double>(size) / (3 / n), 1, 0.02));
      if (distribution == Distribution::uniform)
        CHECK(largest <= std::sqrt(9 / n));
      if (distribution == Distribution::truncated_normal)
        CHECK(largest <= 2 * std::sqrt(3 / n) / 0.87962566103423978);
    }
  // A fan below 1 counts as 1.
  fill_variance_scaling({1, FanMode::in, Distribution::uniform}, {0, 0}, source, x.data(), 100);
  CHECK(std::all_of(x.begin(), x.begin() + 100, [](double v) { return std::fabs(v) < 1.7321; }));
}

void floats_are_rounded_doubles() {
  const Index size = 1001;
  Vector x(size);
  std::vector<float> y(size);
  const VarianceScaling options{2, FanMode::in, Distribution::truncated_normal};
  fill_variance_scaling(options, {9, 9}, {3, 4}, x.data(), size);
  fill_variance_scaling(options, {9, 9}, {3, 4}, y.data(), size);
  for (std::size_t i = 0; i < x.size(); ++i)
    CHECK(static_cast<float>(x[i]) == y[i]);
}

void identity() {
  Vector x(12, 9);
  fill_identity(0.5, 3, 4, x.data());
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 4; ++j)
      CHECK(x[i * 4 + j] == (i == j ? 0.5 : 0.0));
}

void orthogonal() {
  const Index shapes[][2] = {{1, 1}, {5, 5}, {30, 7}, {7, 30}, {4, 1}, {1, 4}, {120, 64}};
  for (const auto &shape : shapes) {
    const Index rows = shape[0], cols = shape[1];
    Vector x(static_cast<std::size_t>(rows * cols));
    fill_orthogonal(1.5, rows, cols, {1, 2}, x.data());
    const bool tall = rows >= cols;
    const Index count = tall ? cols : rows, size = tall ? rows : cols;
    double worst = 0;
    for (Index i = 0; i < count; ++i)
      for (Index j = 0; j < count; ++j) {
        double sum = 0;
        for (Index k = 0; k < size; ++k)
          sum += x[static_cast<std::size_t>(tall ? k * cols + i : i * cols + k)] *
                 x[static_cast<std::size_t>(tall ? k * cols + j : j * cols + k)];
        worst = std::max(worst, std::fabs(sum - (i == j ? 2.25 : 0.0)));
      }
    CHECK(worst < 1e-12);
  }
}

// Gradient against central differences of the value.
template <class Value, class Backward>
void gradient_agrees(const Value &value, const Backward &backward, Vector x) {
  Vector d_x(x.size(), 1.0);
  backward(x, 0.7, d_x);
  const double h = 1e-6;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Vector up = x, down = x;
    up[i] += h;
    down[i] -= h;
    CHECK(near(d_x[i], 1 + 0.7 * (value(up) - value(down)) / (2 * h), 1e-8));
  }
}

void regularizers() {
  const Vector x = normals(24, 1);
  double absolutes = 0, squares = 0;
  for (double value : x) {
    absolutes += std::fabs(value);
    squares += value * value;
  }
  const ElementPenalty both{0.1, 0.2};
  CHECK(near(penalty(both, x.data(), 24), 0.1 * absolutes + 0.2 * squares, 1e-13));
  gradient_agrees([&](const Vector &v) { return penalty(both, v.data(), 24); },
                  [&](const Vector &v, double upstream, Vector &d) {
                    penalty_backward(both, v.data(), 24, upstream, d.data());
                  },
                  x);
  for (bool columns : {false, true}) {
    const OrthogonalPenalty options{0.3, columns};
    gradient_agrees([&](const Vector &v) { return penalty(options, v.data(), 4, 6); },
                    [&](const Vector &v, double upstream, Vector &d) {
                      penalty_backward(options, v.data(), 4, 6, upstream, d.data());
                    },
                    x);
  }
  const Vector zero(6, 0);
  Vector d_zero(6, 0);
  penalty_backward(both, zero.data(), 6, 1, d_zero.data());
  CHECK(d_zero == zero);
  CHECK(penalty(OrthogonalPenalty{1, false}, zero.data(), 2, 3) == 0);
  CHECK(penalty(OrthogonalPenalty{1, false}, x.data(), 1, 6) == 0); // one vector: no pair
  const double infinite[] = {std::numeric_limits<double>::infinity()};
  CHECK(penalty(ElementPenalty{0, 0}, infinite, 1) == 0);
}

void constraints() {
  const std::vector<Index> shape{3, 4, 5};
  const std::vector<std::vector<Index>> subsets{{},     {0},    {1},    {2},
                                                {0, 1}, {2, 0}, {1, 2}, {0, 1, 2}};
  for (const auto &axes : subsets) {
    const Vector x = normals(60, 2);
    Vector y = x;
    constrain_norm({0.6, 1.1, 0.4}, shape, axes, y.data());
    const auto summed = [&](Index axis) {
      return std::find(axes.begin(), axes.end(), axis) != axes.end();
    };
    for (Index i = 0; i < 60; ++i) {
      double squares = 0;
      for (Index j = 0; j < 60; ++j)
        if ((summed(0) || i / 20 == j / 20) && (summed(1) || i / 5 % 4 == j / 5 % 4) &&
            (summed(2) || i % 5 == j % 5))
          squares += x[static_cast<std::size_t>(j)] * x[static_cast<std::size_t>(j)];
      const double n = std::sqrt(squares);
      const double wanted = (0.4 * std::min(std::max(n, 0.6), 1.1) + 0.6 * n) / (1e-7 + n);
      CHECK(near(y[static_cast<std::size_t>(i)], x[static_cast<std::size_t>(i)] * wanted, 1e-14));
    }
  }
  Vector zero(60, 0);
  constrain_norm({1, 1, 1}, shape, {0}, zero.data());
  CHECK(zero == Vector(60, 0));
  Vector empty;
  constrain_norm({1, 1, 1}, {0, 3}, {0}, empty.data());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Vector some{-1, 2, nan};
  constrain_non_negative(some.data(), 3);
  CHECK(some[0] == 0 && some[1] == 2 && std::isnan(some[2]));
}

void interrupts() {
  const Index side = 20, size = 100000;
  const Vector x = normals(side * side, 3);
  Vector y(size);
  const OrthogonalPenalty options{1, true};
  CHECK(is_interrupted([&](const Execution &e) { penalty(options, x.data(), side, side, e); }));
  CHECK(is_interrupted([&](const Execution &e) {
    penalty_backward(options, x.data(), side, side, 1, y.data(), e);
  }));
  CHECK(is_interrupted([&](const Execution &e) {
    fill_orthogonal(1, side, side, {1, 2}, y.data(), e);
  }));
  CHECK(is_interrupted([&](const Execution &e) { fill_uniform(1, 1, 0, 1, y.data(), size, e); }));
  CHECK(is_interrupted([&](const Execution &e) { fill_normal(1, 1, 0, 1, y.data(), size, e); }));
  CHECK(is_interrupted([&](const Execution &e) {
    fill_variance_scaling({}, {}, {1, 1}, y.data(), size, e);
  }));
}

// The same bits for any number of threads.
void threads() {
  const Execution three{3, nullptr};
  const Index size = 100000;
  Vector one(size), other(size);
  fill_uniform(1, 1, -1, 2, one.data(), size);
  fill_uniform(1, 1, -1, 2, other.data(), size, three);
  CHECK(one == other);
  fill_variance_scaling({}, {}, {1, 1}, one.data(), size);
  fill_variance_scaling({}, {}, {1, 1}, other.data(), size, three);
  CHECK(one == other);
  const OrthogonalPenalty options{1, true};
  Vector d_one(size, 0), d_other(size, 0);
  penalty_backward(options, one.data(), 500, 200, 1, d_one.data());
  penalty_backward(options, one.data(), 500, 200, 1, d_other.data(), three);
  CHECK(d_one == d_other);
  CHECK(penalty(options, one.data(), 500, 200) == penalty(options, one.data(), 500, 200, three));
}

} // namespace

int main() {
  fans();
  seeds();
  variance_scaling();
  floats_are_rounded_doubles();
  identity();
  orthogonal();
  regularizers();
  constraints();
  interrupts();
  threads();
  return attentive_test::finish("test_specifications");
}

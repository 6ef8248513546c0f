// Philox against the vectors its authors published, and the distributions
// against what mathematics says about them. Keys are pinned: a check either
// always holds or never does.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"
#include "random.h"

using namespace attentive;

namespace {

// Random123, kat_vectors, philox4x32 with 10 rounds.
void published_vectors() {
  const PhiloxCounter zeros = philox4x32({0, 0, 0, 0}, {0, 0});
  CHECK((zeros == PhiloxCounter{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  const std::uint32_t all = 0xffffffffu;
  const PhiloxCounter ones = philox4x32({all, all, all, all}, {all, all});
  CHECK((ones == PhiloxCounter{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  const PhiloxCounter digits_of_pi =
      philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u});
  CHECK((digits_of_pi == PhiloxCounter{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
  // The same block through the 64-bit view of counter and key.
  CHECK(random_block(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u) ==
        digits_of_pi);
}

// The first block of key 0, stream 0 is the first published vector, so these
// follow from it by arithmetic (done elsewhere, in R).
void pinned_values() {
  CHECK(random_uniform(0, 0, 0) == 0x1.c2d38b1acc4fdp-1);
  CHECK(random_uniform(0, 0, 1) == 0x1.3601b7b178af5p-1);
  const double four_eps = 4 * std::numeric_limits<double>::epsilon();
  CHECK(std::fabs(random_normal(0, 0, 0) / -1.6249634408710401 - 1) <= four_eps);
  CHECK(std::fabs(random_normal(0, 0, 1) / -1.2683492025469481 - 1) <= four_eps);
  CHECK(random_truncated_normal(0, 0, 0) == random_normal(0, 0, 0));
}

// Number i depends on (key, stream, i) alone.
void position_only() {
  const Index n = 101;
  std::vector<double> whole(n), part(n);
  fill_uniform(7, 3, 0, 1, whole.data(), n);
  for (Index length : {0, 1, 2, 50, 101}) {
    std::fill(part.begin(), part.end(), -1.0);
    fill_uniform(7, 3, 0, 1, part.data(), length);
    CHECK(std::equal(part.begin(), part.begin() + length, whole.begin()));
    CHECK(std::all_of(part.begin() + length, part.end(), [](double x) { return x == -1.0; }));
  }
  for (Index i = n - 1; i >= 0; --i)
    CHECK(whole[static_cast<std::size_t>(i)] ==
          0.5 + 0.5 * (2 * random_uniform(7, 3, static_cast<std::uint64_t>(i)) - 1));
  CHECK(random_uniform(7, 3, 0) != random_uniform(7, 4, 0));
  CHECK(random_uniform(7, 3, 0) != random_uniform(8, 3, 0));
  CHECK(random_uniform(7, 3, 0) != random_uniform(7 + (std::uint64_t{1} << 32), 3, 0));
  CHECK(random_uniform(7, 3, 0) != random_uniform(7, 3, std::uint64_t{1} << 33));
  CHECK(derive_key(1, 0) != derive_key(1, 1) && derive_key(1, 0) != derive_key(2, 0));
}

// Kolmogorov and Smirnov's distance between a sample and a distribution
// function; above 1.95 / sqrt(n) once in a thousand keys.
template <class Cdf> double distance(std::vector<double> x, Cdf cdf) {
  std::sort(x.begin(), x.end());
  double worst = 0;
  const double n = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double p = cdf(x[i]);
    worst = std::max({worst, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return worst * std::sqrt(n);
}

double correlation_of_neighbours(const std::vector<double> &x, double mean) {
  double product = 0, square = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    product += (x[i] - mean) * (x[i + 1] - mean);
    square += (x[i] - mean) * (x[i] - mean);
  }
  return product / square * std::sqrt(static_cast<double>(x.size()));
}

void distributions() {
  const Index n = 200000;
  const auto normal_cdf = [](double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; };
  const double below = normal_cdf(-2), within = 1 - 2 * below;
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::uint64_t key : {1u, 2u, 3u, 4u, 5u}) {
    fill_uniform(key, 0, -3, 5, x.data(), n);
    CHECK(distance(x, [](double v) { return (v + 3) / 8; }) < 1.95);
    CHECK(*std::min_element(x.begin(), x.end()) >= -3);
    CHECK(*std::max_element(x.begin(), x.end()) < 5);
    CHECK(std::fabs(correlation_of_neighbours(x, 1)) < 4);

    fill_normal(key, 1, 10, 2, x.data(), n);
    CHECK(distance(x, [&](double v) { return normal_cdf((v - 10) / 2); }) < 1.95);
    CHECK(std::fabs(correlation_of_neighbours(x, 10)) < 4);

    fill_truncated_normal(key, 2, 0, 1, x.data(), n);
    CHECK(distance(x, [&](double v) { return (normal_cdf(v) - below) / within; }) < 1.95);
    CHECK(*std::max_element(x.begin(), x.end()) <= 2);
    CHECK(*std::min_element(x.begin(), x.end()) >= -2);
    CHECK(std::fabs(correlation_of_neighbours(x, 0)) < 4);
  }
}

// A float is the double rounded once; a range symmetric about 0 has no offset.
void precision() {
  const Index n = 1000;
  std::vector<double> wide(n);
  std::vector<float> narrow(n);
  fill_normal(9, 9, 0, 0.05, wide.data(), n);
  fill_normal(9, 9, 0, 0.05, narrow.data(), n);
  for (std::size_t i = 0; i < wide.size(); ++i)
    CHECK(narrow[i] == static_cast<float>(wide[i]));
  fill_uniform(9, 9, -0.25, 0.25, wide.data(), n);
  fill_uniform(9, 9, -0.25, 0.25, narrow.data(), n);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    CHECK(narrow[i] == static_cast<float>(wide[i]));
    CHECK(wide[i] == 0.25 * (2 * random_uniform(9, 9, i) - 1));
  }
}

} // namespace

int main() {
  published_vectors();
  pinned_values();
  position_only();
  distributions();
  precision();
  return attentive_test::finish("test_random");
}

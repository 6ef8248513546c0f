// The dropout mask: its vectors against the definition, its share against
// binomial bounds, and that it depends on nothing but position.
#include <cmath>
#include <vector>

#include "check.h"
#include "cpu.h"
#include "kernels/table.h"

using namespace attentive;

namespace {

AttentionShape shape_of(Index batch, Index free, Index heads) {
  AttentionShape shape;
  shape.batch = batch;
  shape.free = free;
  shape.heads = shape.groups = heads;
  return shape;
}

Dropout dropout_of(double rate, std::uint64_t seed = 1, std::uint64_t call = 0, Index offset = 0) {
  Dropout dropout;
  dropout.rate = rate;
  dropout.seed = seed;
  dropout.call = call;
  dropout.batch_offset = offset;
  return dropout;
}

// Bits from unaligned starts, for queries that skip some, on every level.
void test_vectors() {
  const AttentionShape shape = shape_of(3, 2, 5);
  for (double rate : {0.0, 0.1, 0.5, 0.999999, 1.0}) {
    const DropoutMask mask(dropout_of(rate, 0x123456789abcdefULL, 7, Index(1) << 31), shape);
    const DropoutHead head = mask.head(5, 3);
    for (int lanes : {1, 2, 4, 7, 8, 16, 17, 31, 32})
      for (Index first : {0, 3, 8, 1021})
        for (Index size : {1, 4, 8, 13, 96}) {
          std::uint32_t queries[32] = {};
          for (int l = 0; l < lanes; ++l)
            queries[l] = static_cast<std::uint32_t>(l * l + 5);
          std::vector<std::uint32_t> bits(static_cast<std::size_t>(size) + 1, 0xdeadbeefu);
          kernels<float>().dropout.keep_bits(head, queries, lanes, first, first + size,
                                             bits.data());
          bool same = bits.back() == 0xdeadbeefu;
          for (Index i = 0; i < size; ++i)
            for (int l = 0; l < lanes; ++l)
              same = same && (bits[static_cast<std::size_t>(i)] >> l & 1u) ==
                                 static_cast<std::uint32_t>(head.keeps(queries[l], first + i));
          CHECK(same);
        }
  }
}

// The definition, read again from its words: 16 bits of each pair against the
// threshold, which itself is kept.
void test_definition() {
  const DropoutHead head = DropoutMask(dropout_of(0.5, 42), shape_of(1, 1, 2)).head(0, 1);
  int at_threshold = 0;
  bool same = true;
  for (std::uint32_t t = 0; t < 600; ++t)
    for (std::uint32_t s = 0; s < 600; ++s) {
      const PhiloxCounter block =
          philox4x32({s / 8, t, head.row[0], head.row[1]}, {head.key[0], head.key[1]});
      const std::uint32_t word = block[s % 8 / 2];
      const std::uint32_t bits = s % 2 == 0 ? word & 0xffffu : word >> 16;
      at_threshold += bits == 32768;
      same = same && head.keeps(t, s) == (bits >= 32768);
    }
  CHECK(head.row[0] == 1 && head.row[1] == 0);
  CHECK(at_threshold > 0);
  CHECK(same);
}

// Within 4.5 standard deviations, over all pairs and over pairs of neighbours.
void test_share() {
  const Index length = 400;
  for (double rate : {0.01, 0.1, 0.3, 0.5, 0.9}) {
    const DropoutMask mask(dropout_of(rate, 42), shape_of(1, 1, 2));
    const double expected = 1 / mask.scale();
    CHECK(std::fabs(expected - (1 - rate)) <= 1.0 / 131072);
    double kept = 0, both_keys = 0, both_queries = 0, both_heads = 0;
    const DropoutHead head = mask.head(0, 0), other = mask.head(0, 1);
    for (Index t = 0; t < length; ++t)
      for (Index s = 0; s < length; ++s) {
        if (!head.keeps(t, s))
          continue;
        ++kept;
        both_keys += head.keeps(t, s + 1);
        both_queries += head.keeps(t + 1, s);
        both_heads += other.keeps(t, s);
      }
    const double pairs = double(length) * double(length), square = expected * expected;
    CHECK(std::fabs(kept - pairs * expected) < 4.5 * std::sqrt(pairs * expected * rate));
    // Neighbours share a member: the variance is at most three times that of independent pairs.
    const double bound = 4.5 * std::sqrt(3 * pairs * square * (1 - square));
    CHECK(std::fabs(both_keys - pairs * square) < bound);
    CHECK(std::fabs(both_queries - pairs * square) < bound);
    CHECK(std::fabs(both_heads - pairs * square) < bound);
  }
}

bool equal(const DropoutHead &a, const DropoutHead &b) {
  bool same = true;
  for (Index t = 0; t < 40; ++t)
    for (Index s = 0; s < 40; ++s)
      same = same && a.keeps(t, s) == b.keeps(t, s);
  return same;
}

void test_position() {
  const DropoutMask mask(dropout_of(0.5), shape_of(4, 3, 2));
  const DropoutMask later(dropout_of(0.5, 1, 0, 2), shape_of(2, 3, 2));
  CHECK(equal(mask.head(2 * 3 + 1, 1), later.head(1, 1)));
  CHECK(!equal(mask.head(0, 0), mask.head(0, 1)));
  CHECK(!equal(mask.head(0, 0), mask.head(1, 0)));
  CHECK(!equal(mask.head(0, 0), DropoutMask(dropout_of(0.5, 2), shape_of(4, 3, 2)).head(0, 0)));
  CHECK(!equal(mask.head(0, 0), DropoutMask(dropout_of(0.5, 1, 1), shape_of(4, 3, 2)).head(0, 0)));
}

void test_rates() {
  const AttentionShape shape = shape_of(1, 1, 1);
  CHECK(DropoutMask(dropout_of(0), shape).drops_none());
  CHECK(DropoutMask(dropout_of(0), shape).scale() == 1);
  CHECK(DropoutMask(dropout_of(1), shape).drops_all());
  CHECK(DropoutMask(dropout_of(1), shape).scale() == 0);
  CHECK(!DropoutMask(dropout_of(1 - 1e-9), shape).drops_all());
  CHECK(DropoutMask(dropout_of(0.5), shape).scale() == 2);
  CHECK_THROWS(DropoutMask(dropout_of(1.5), shape), std::invalid_argument);
  CHECK_THROWS(DropoutMask(dropout_of(-0.1), shape), std::invalid_argument);
  CHECK_THROWS(DropoutMask(dropout_of(std::nan("")), shape), std::invalid_argument);
}

} // namespace

int main() {
  for (Level level : available_levels()) {
    set_level(level_name(level));
    test_vectors();
    test_definition();
  }
  test_share();
  test_position();
  test_rates();
  return attentive_test::finish("test_dropout");
}

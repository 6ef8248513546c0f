// The node that selects by a mask: forward against its formula, gradients
// against differences.
#include "node_case.h"

using namespace attentive_test;

namespace {

CaseMask random_mask(const Dims &dims, Dice &dice) {
  CaseMask mask;
  mask.given = true;
  mask.dims = dims;
  for (Index i = 0; i < count(dims); ++i)
    mask.bytes.push_back(dice.uniform() < 0.6);
  return mask;
}

void test_same_shapes() {
  Dice dice(1, 31);
  for (const bool two : {true, false}) {
    NodeCase c;
    c.op = "select";
    c.dims = {{3, 4, 5}};
    if (two)
      c.dims.push_back(c.dims[0]);
    for (const Dims &dims : c.dims)
      c.inputs.push_back(draw(dice, count(dims)));
    c.masks = {random_mask({3, 4}, dice)};
    c.options.numbers["otherwise"] = {0.5};
    Numbers expected;
    for (std::size_t i = 0; i < c.inputs[0].size(); ++i)
      expected.push_back(c.masks[0].bytes[i / 5] != 0 ? c.inputs[0][i]
                         : two                        ? c.inputs[1][i]
                                                      : 0.5);
    CHECK(run_node<double>(c).output == expected);
    check_gradients(c, dice);
    check_batch<float>(c);
  }
}

// a [3, 1, 5], b [3, 4, 1], mask [3, 4]
void test_broadcast() {
  Dice dice(1, 32);
  NodeCase c;
  c.op = "select";
  c.dims = {{3, 1, 5}, {3, 4, 1}};
  for (const Dims &dims : c.dims)
    c.inputs.push_back(draw(dice, count(dims)));
  c.masks = {random_mask({3, 4}, dice)};
  Numbers expected;
  for (std::size_t row = 0; row < 12; ++row)
    for (std::size_t i = 0; i < 5; ++i)
      expected.push_back(c.masks[0].bytes[row] != 0 ? c.inputs[0][row / 4 * 5 + i]
                                                    : c.inputs[1][row]);
  CHECK(run_node<double>(c).output == expected);
  CHECK(run_node<double>(c).dims == Dims({3, 4, 5}));
  check_gradients(c, dice);
  check_batch<float>(c);
}

} // namespace

int main() {
  test_same_shapes();
  test_broadcast();
  return finish("test_select");
}

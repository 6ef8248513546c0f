// Nodes of operations: reductions, products, slices, places, choices. Forward
// against a plain formula, gradients against differences.
#include "node_case.h"

#include "broadcast.h"

using namespace attentive_test;

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

Dims random_dims(Dice &dice, Index rank) {
  Dims dims;
  for (; rank > 0; --rank)
    dims.push_back(dice.integer(1, 4));
  return dims;
}

NodeCase case_of(const std::string &op, const std::vector<Dims> &dims, Dice &dice) {
  NodeCase c;
  c.op = op;
  c.dims = dims;
  for (const Dims &d : dims)
    c.inputs.push_back(draw(dice, count(d)));
  return c;
}

// The place of number i of `dims` on each axis.
Dims places(Index i, const Dims &dims) {
  Dims place(dims.size());
  for (std::size_t axis = dims.size(); axis-- > 0;) {
    place[axis] = i % dims[axis];
    i /= dims[axis];
  }
  return place;
}

Index position(const Dims &place, const Dims &dims) {
  Index i = 0;
  for (std::size_t axis = 0; axis < dims.size(); ++axis)
    i = i * dims[axis] + place[axis];
  return i;
}

void test_reductions() {
  Dice dice(40, 1);
  const std::vector<std::string> names = {"sum", "mean", "prod", "max", "min"};
  for (int round = 0; round < 60; ++round) {
    const Dims dims = random_dims(dice, dice.integer(1, 4));
    NodeCase c = case_of("reduce", {dims}, dice);
    const std::string name = names[at(dice.integer(0, 4))];
    c.options.texts["operation"] = name;
    Numbers axes;
    Dims kept = dims;
    for (std::size_t axis = 0; axis < dims.size(); ++axis)
      if (dice.uniform() < 0.5) {
        axes.push_back(static_cast<double>(axis));
        kept[axis] = 1;
      }
    c.options.numbers = {{"axes", axes}, {"keepdims", {dice.uniform() < 0.5 ? 1.0 : 0.0}}};
    std::vector<Numbers> groups(at(count(kept)));
    for (Index i = 0; i < count(dims); ++i) {
      Dims place = places(i, dims);
      for (const double axis : axes)
        place[static_cast<std::size_t>(axis)] = 0;
      groups[at(position(place, kept))].push_back(c.inputs[0][at(i)]);
    }
    Numbers expected;
    for (const Numbers &group : groups) {
      double value = name == "prod" ? 1 : name == "sum" || name == "mean" ? 0 : group[0];
      for (const double x : group)
        value = name == "prod"  ? value * x
                : name == "max" ? std::max(value, x)
                : name == "min" ? std::min(value, x)
                                : value + x;
      expected.push_back(name == "mean" ? value / static_cast<double>(group.size()) : value);
    }
    check_node(c, near(run_node<double>(c).output, expected, 1e-13), "values");
    check_gradients(c, dice);
  }
  // a product with one factor 0 has a gradient there, one with two has none
  NodeCase c = case_of("reduce", {{2, 3}}, dice);
  c.options.texts["operation"] = "prod";
  c.options.numbers["axes"] = {1};
  c.inputs[0] = {0, 2, 3, 0, 0, 5};
  CHECK(run_node<double>(c, {1, 1}).d_inputs[0] == Numbers({6, 0, 0, 0, 0, 0}));
  c.options.texts["operation"] = "max";
  c.inputs[0] = {4, 4, 3, 1, NAN, 5};
  const NodeResult ties = run_node<double>(c, {1, 0});
  CHECK(ties.d_inputs[0][0] == 0.5 && ties.d_inputs[0][1] == 0.5 && std::isnan(ties.output[1]));
  c.options.texts["operation"] = "argmax";
  c.options.numbers = {{"axis", {1}}, {"base", {1}}};
  c.inputs[0] = {4, 4, 3, 1, 2, 5};
  CHECK(run_node<double>(c).output == Numbers({1, 3}));
}

void test_along_an_axis() {
  Dice dice(40, 2);
  for (int round = 0; round < 20; ++round) {
    const Dims dims = random_dims(dice, dice.integer(1, 4));
    const auto axis =
        static_cast<std::size_t>(dice.integer(0, static_cast<Index>(dims.size()) - 1));
    NodeCase c = case_of("cumsum", {dims}, dice);
    c.options.numbers["axis"] = {static_cast<double>(axis)};
    Numbers expected(c.inputs[0].size(), 0);
    for (Index i = 0; i < count(dims); ++i)
      for (Dims place = places(i, dims); place[axis] >= 0; --place[axis])
        expected[at(i)] += c.inputs[0][at(position(place, dims))];
    CHECK(near(run_node<double>(c).output, expected, 1e-13));
    check_gradients(c, dice);
    c.op = "argsort";
    const Numbers order = run_node<double>(c).output;
    NodeCase along = case_of("take_along", {dims, dims}, dice);
    along.options = c.options;
    along.inputs = {c.inputs[0], order};
    const Numbers sorted = run_node<double>(along).output;
    for (Index i = 0; i < count(dims); ++i) {
      Dims place = places(i, dims);
      if (place[axis]-- > 0)
        CHECK(sorted[at(position(place, dims))] <= sorted[at(i)]);
    }
    const NodeResult back = run_node<double>(along, Numbers(sorted.size(), 1.0));
    CHECK(back.d_inputs[0] == Numbers(sorted.size(), 1.0));
  }
}

// matrices before, their number 1 where they broadcast
void test_products() {
  Dice dice(40, 3);
  for (int round = 0; round < 60; ++round) {
    const Index m = dice.integer(1, 4), k = dice.integer(1, 5), n = dice.integer(1, 4);
    const Dims lead = random_dims(dice, dice.integer(0, 2));
    const bool turned_a = dice.uniform() < 0.5, turned_b = dice.uniform() < 0.5;
    const auto side = [&](Index rows, Index columns) {
      Dims dims = lead;
      for (Index &size : dims)
        size = dice.uniform() < 0.3 ? 1 : size;
      if (dice.uniform() < 0.3)
        dims.clear();
      dims.push_back(rows);
      dims.push_back(columns);
      return dims;
    };
    NodeCase c = case_of(
        "matmul", {turned_a ? side(k, m) : side(m, k), turned_b ? side(n, k) : side(k, n)}, dice);
    c.options.numbers = {{"transpose_a", {turned_a ? 1.0 : 0.0}},
                         {"transpose_b", {turned_b ? 1.0 : 0.0}}};
    const NodeResult result = run_node<double>(c);
    Numbers expected;
    const auto number = [&](std::size_t which, const Dims &place, Index row, Index column) {
      const Dims &dims = c.dims[which];
      Dims own(dims.size());
      const std::size_t missing = place.size() - dims.size();
      for (std::size_t i = 0; i + 2 < dims.size(); ++i)
        own[i] = dims[i] == 1 ? 0 : place[i + missing];
      const bool turned = which == 0 ? turned_a : turned_b;
      own[dims.size() - 2] = turned ? column : row;
      own[dims.size() - 1] = turned ? row : column;
      return c.inputs[which][at(position(own, dims))];
    };
    for (Index i = 0; i < count(result.dims); ++i) {
      const Dims place = places(i, result.dims);
      const std::size_t rank = place.size();
      double sum = 0;
      for (Index j = 0; j < k; ++j)
        sum += number(0, place, place[rank - 2], j) * number(1, place, j, place[rank - 1]);
      expected.push_back(sum);
    }
    check_node(c, near(result.output, expected, 1e-13), "values");
    check_gradients(c, dice);
  }
  NodeCase wrong = case_of("matmul", {{2, 3}, {2, 3}}, dice);
  CHECK_THROWS(run_node<double>(wrong), std::invalid_argument);
  NodeCase empty = case_of("matmul", {{2, 0}, {0, 3}}, dice);
  CHECK(run_node<double>(empty).output == Numbers(6, 0.0));
}

void test_slices() {
  Dice dice(40, 4);
  for (int round = 0; round < 40; ++round) {
    const Dims dims = random_dims(dice, dice.integer(1, 4));
    NodeCase c = case_of("slice", {dims}, dice);
    Numbers starts, sizes, steps;
    Dims first, step, out;
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      const Index size = dice.integer(1, dims[axis]);
      const bool backwards = dice.uniform() < 0.4;
      first.push_back(backwards ? size - 1 : dims[axis] - size);
      step.push_back(backwards ? -1 : 1);
      out.push_back(size);
      // the size as that of the axis less a number: what a rule computes
      for (const double x : {0.0, static_cast<double>(first.back()), 0.0, 6.0, 0.0, 0.0})
        starts.push_back(x);
      for (const double x :
           {1.0, 0.0, static_cast<double>(axis), 0.0, static_cast<double>(dims[axis] - size), 0.0,
            3.0, 0.0, 0.0, 6.0, 0.0, 0.0})
        sizes.push_back(x);
      steps.push_back(static_cast<double>(step.back()));
    }
    c.options.numbers = {{"starts", starts}, {"sizes", sizes}, {"steps", steps}};
    Numbers expected;
    for (Index i = 0; i < count(out); ++i) {
      Dims place = places(i, out);
      for (std::size_t axis = 0; axis < dims.size(); ++axis)
        place[axis] = first[axis] + place[axis] * step[axis];
      expected.push_back(c.inputs[0][at(position(place, dims))]);
    }
    CHECK(run_node<double>(c).output == expected);
    check_gradients(c, dice);
  }
  NodeCase beyond = case_of("slice", {{3}}, dice);
  beyond.options.numbers = {
      {"starts", {0, 2, 0, 6, 0, 0}}, {"sizes", {0, 2, 0, 6, 0, 0}}, {"steps", {1}}};
  CHECK_THROWS(run_node<double>(beyond), std::invalid_argument);
}

void test_places() {
  Dice dice(40, 5);
  NodeCase c = case_of("take", {{2, 3, 2}, {2, 2}}, dice);
  c.inputs[1] = {1, 3, -1, 1};
  c.options.numbers = {{"axis", {1}}, {"base", {1}}};
  const NodeResult result = run_node<double>(c, Numbers(16, 1.0));
  CHECK(result.dims == Dims({2, 2, 2, 2}));
  const Index wanted[] = {0, 2, 2, 0};
  for (Index b = 0; b < 2; ++b)
    for (Index i = 0; i < 4; ++i)
      for (Index d = 0; d < 2; ++d)
        CHECK(result.output[at((b * 4 + i) * 2 + d)] ==
              c.inputs[0][at((b * 3 + wanted[i]) * 2 + d)]);
  CHECK(result.d_inputs[0] == Numbers({2, 2, 0, 0, 2, 2, 2, 2, 0, 0, 2, 2}));
  for (const double wrong : {0.0, 4.0, -4.0, 1.5, double(NAN)}) {
    c.inputs[1][0] = wrong;
    CHECK_THROWS(run_node<double>(c), std::invalid_argument);
  }
}

void test_choices() {
  Dice dice(40, 6);
  for (int round = 0; round < 20; ++round) {
    const Dims dims = random_dims(dice, 3);
    NodeCase c = case_of("where", {dims, {dims[1], 1}, dims}, dice);
    for (double &x : c.inputs[0])
      x = x > 0 ? 1 : 0;
    const NodeResult result = run_node<double>(c);
    for (Index i = 0; i < count(dims); ++i) {
      const Dims place = places(i, dims);
      CHECK(result.output[at(i)] ==
            (c.inputs[0][at(i)] != 0 ? c.inputs[1][at(place[1])] : c.inputs[2][at(i)]));
    }
    const Numbers upstream = draw(dice, count(dims));
    const NodeResult back = run_node<double>(c, upstream);
    Numbers d_a(c.inputs[1].size(), 0);
    for (Index i = 0; i < count(dims); ++i)
      if (c.inputs[0][at(i)] != 0)
        d_a[at(places(i, dims)[1])] += upstream[at(i)];
    CHECK(near(back.d_inputs[1], d_a, 1e-13));
  }
  NodeCase c = case_of("compare", {{4}, {4}}, dice);
  c.inputs = {{-3, 2, 2, NAN}, {2, 2, -3, 1}};
  const std::vector<std::pair<std::string, Numbers>> all = {
      {"equal", {0, 1, 0, 0}},           {"not_equal", {1, 0, 1, 1}}, {"greater", {0, 0, 1, 0}},
      {"greater_equal", {0, 1, 1, 0}},   {"less", {1, 0, 0, 0}},      {"less_equal", {1, 1, 0, 0}},
      {"floor_divide", {-2, 1, -1, NAN}}};
  for (const auto &one : all) {
    c.options.texts["operation"] = one.first;
    check_node(c, near(run_node<float>(c).output, one.second, 0), "values");
  }
}

void test_fill() {
  Dice dice(40, 7);
  NodeCase c = case_of("fill", {{2, 5}}, dice);
  // [the size of axis 1, half of it rounded down]
  c.options.numbers = {{"sizes", {1, 0, 1, 6, 0, 0, 1, 0, 1, 0, 2, 0, 5, 0, 0, 6, 0, 0}},
                       {"start", {3}},
                       {"step", {-1}}};
  const NodeResult result = run_node<double>(c);
  CHECK(result.dims == Dims({5, 2}));
  CHECK(result.output == Numbers({3, 2, 1, 0, -1, -2, -3, -4, -5, -6}));
  c.options.numbers["numbers"] = {1, 0, 0, 6, 0, 0}; // from the size of axis 0 on
  CHECK(run_node<double>(c, Numbers(10, 1.0)).output ==
        Numbers({2, 1, 0, -1, -2, -3, -4, -5, -6, -7}));
  NodeCase reshaped = case_of("reshape", {{2, 6}}, dice);
  reshaped.options.numbers["sizes"] = {0, 3, 0, 6, 0, 0, 0, -1, 0, 6, 0, 0};
  CHECK(run_node<double>(reshaped).dims == Dims({3, 4}));
  check_gradients(reshaped, dice);
  reshaped.options.numbers["sizes"] = {0, 5, 0, 6, 0, 0, 0, -1, 0, 6, 0, 0};
  CHECK_THROWS(run_node<double>(reshaped), std::invalid_argument);
  NodeCase weight = case_of("weight", {}, dice);
  weight.weights = {{1, 2, 3, 4}};
  weight.options.numbers["dims"] = {2, 2};
  const NodeResult numbers = run_node<float>(weight, {1, 2, 3, 4});
  CHECK(numbers.output == Numbers({1, 2, 3, 4}) && numbers.d_weights[0] == numbers.output);
  NodeCase stopped = case_of("stop_gradient", {{3}}, dice);
  CHECK(run_node<double>(stopped, {1, 1, 1}).d_inputs[0].empty());
}

void test_functions() {
  Dice dice(40, 8);
  const std::vector<std::pair<std::string, double (*)(double)>> all = {
      {"rsqrt", [](double x) { return 1 / std::sqrt(x); }},
      {"reciprocal", [](double x) { return 1 / x; }},
      {"expm1", [](double x) { return std::exp(x) - 1; }},
      {"log1p", [](double x) { return std::log(1 + x); }},
      {"log2", [](double x) { return std::log2(x); }},
      {"log10", [](double x) { return std::log10(x); }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
      {"tan", [](double x) { return std::tan(x); }},
      {"arcsin", [](double x) { return std::asin(x); }},
      {"arccos", [](double x) { return std::acos(x); }},
      {"arctan", [](double x) { return std::atan(x); }},
      {"sinh", [](double x) { return std::sinh(x); }},
      {"cosh", [](double x) { return std::cosh(x); }},
      {"erf", [](double x) { return std::erf(x); }},
      {"clip", [](double x) { return std::min(std::max(x, 0.3), 0.7); }}};
  for (const auto &one : all) {
    NodeCase c = case_of("unary", {{3, 7}}, dice);
    c.options.texts["operation"] = one.first;
    c.options.numbers = {{"threshold", {0.3}}, {"max_value", {0.7}}};
    Numbers expected;
    for (double &x : c.inputs[0]) {
      x = 0.1 + 0.2 * std::fabs(x) + (x > 1 ? 0.3 : 0);
      for (const double edge : {0.3, 0.7})
        x += std::fabs(x - edge) < 1e-3 ? 0.01 : 0;
      expected.push_back(one.second(x));
    }
    check_node(c, near(run_node<double>(c).output, expected, 1e-13), "values");
    check_gradients(c, dice);
  }
  NodeCase c = case_of("unary", {{6}}, dice);
  c.inputs[0] = {-2.5, -0.5, 0.5, 1.5, 1.2, NAN};
  c.options.texts["operation"] = "round";
  CHECK(near(run_node<float>(c).output, {-2, 0, 0, 2, 1, NAN}, 0));
  c.options.texts["operation"] = "sign";
  CHECK(near(run_node<float>(c).output, {-1, -1, 1, 1, 1, NAN}, 0));
  c.options.texts["operation"] = "floor";
  CHECK(near(run_node<float>(c).output, {-3, -1, 0, 1, 1, NAN}, 0));
  CHECK(run_node<double>(c, Numbers(6, 1.0)).d_inputs[0] == Numbers(6, 0.0));
  c.options.texts["operation"] = "ceil";
  CHECK(near(run_node<float>(c).output, {-2, 0, 1, 2, 2, NAN}, 0));
  NodeCase odd = c;
  odd.inputs[0] = {0, 1, -2, NAN, INFINITY, -INFINITY};
  const std::vector<std::pair<std::string, Numbers>> asked = {{"logical_not", {1, 0, 0, 0, 0, 0}},
                                                              {"isinf", {0, 0, 0, 0, 1, 1}},
                                                              {"isfinite", {1, 1, 1, 0, 0, 0}}};
  for (const auto &one : asked) {
    odd.options.texts["operation"] = one.first;
    check_node(odd, run_node<float>(odd).output == one.second, "values");
  }
  c.options.texts["operation"] = "isnan";
  CHECK(run_node<float>(c).output == Numbers({0, 0, 0, 0, 0, 1}));
}

// An empty axis left of others that do not join it: nothing is walked over, and nothing
// divided by its size.
void test_empty_axes() {
  Dice dice(40, 9);
  for (const Dims &dims : {Dims{0, 4}, Dims{0, 3, 4}, Dims{2, 0, 4}}) {
    const Broadcast walk = broadcast_shapes({dims, {4}});
    Index bodies = 0;
    for_broadcast(walk, [&](const Index *, Index, const Index *) { ++bodies; });
    for_broadcast(walk, 0, 0, [&](const Index *, Index, const Index *) { ++bodies; });
    CHECK(walk.rows() == 0 && bodies == 0);
  }
  NodeCase sum = case_of("reduce", {{2, 0, 3}}, dice);
  sum.options.texts["operation"] = "sum";
  sum.options.numbers["axes"] = {1};
  const NodeResult sums = run_node<double>(sum, Numbers(6, 1.0));
  CHECK(sums.dims == Dims({2, 3}) && sums.output == Numbers(6, 0.0) && sums.d_inputs[0].empty());
  const NodeCase product = case_of("matmul", {{0, 4, 2, 3}, {4, 3, 2}}, dice);
  const NodeResult products = run_node<double>(product, {1});
  CHECK(products.dims == Dims({0, 4, 2, 2}) && products.d_inputs[1] == Numbers(24, 0.0));
  NodeCase masks;
  masks.op = "mask_and";
  masks.makes_mask = true;
  masks.masks.resize(2);
  masks.masks[0].given = masks.masks[1].given = true;
  masks.masks[0].dims = {0, 4, 5};
  masks.masks[1].dims = {1, 5};
  masks.masks[1].bytes.assign(5, 1);
  CHECK(run_node<float>(masks).mask_dims == Dims({0, 4, 5}));
  NodeCase binary = case_of("binary", {{0, 4}, {4}}, dice);
  for (const char *operation : {"add", "multiply"}) {
    binary.options.texts["operation"] = operation;
    CHECK(run_node<double>(binary, {1}).d_inputs[1] == Numbers(4, 0.0));
  }
  const NodeCase where = case_of("where", {{0, 4}, {4}, {0, 4}}, dice);
  CHECK(run_node<double>(where, {1}).d_inputs[1] == Numbers(4, 0.0));
}

} // namespace

int main() {
  test_reductions();
  test_along_an_axis();
  test_products();
  test_slices();
  test_places();
  test_choices();
  test_fill();
  test_functions();
  test_empty_axes();
  return finish("test_operation_nodes");
}

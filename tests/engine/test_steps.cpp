// Nodes that work on steps, products with weights and states: gradients against
// differences, accumulation, threads, float against double. What they compute is
// compared with formulas by the tests of R.
#include "node_case.h"

using namespace attentive_test;

namespace {

NodeCase case_of(const std::string &op, const std::vector<Dims> &dims,
                 const std::vector<Index> &weights, Dice &dice) {
  NodeCase c;
  c.op = op;
  c.dims = dims;
  for (const Dims &each : dims)
    c.inputs.push_back(draw(dice, count(each)));
  for (Index size : weights)
    c.weights.push_back(draw(dice, size, 0.5, 2));
  return c;
}

void test_convolution() {
  Dice dice(1, 51);
  for (int n = 0; n < 12; ++n) {
    const Index groups = dice.integer(1, 2), width = dice.integer(1, 3);
    const Index filters = groups * dice.integer(1, 3), size = dice.integer(1, 3);
    NodeCase c = case_of("convolution_1d",
                         {{dice.integer(1, 3), dice.integer(5, 8), groups * width}},
                         {size * width * filters}, dice);
    c.weights.push_back(dice.chance(0.3) ? Numbers() : draw(dice, filters));
    const bool moves = dice.chance(0.5);
    c.options.numbers = {{"filters", {static_cast<double>(filters)}},
                         {"groups", {static_cast<double>(groups)}},
                         {"size", {static_cast<double>(size)}},
                         {"stride", {moves ? 2.0 : 1.0}},
                         {"dilation", {moves ? 1.0 : 2.0}}};
    c.options.texts["padding"] = n % 3 == 0 ? "valid" : n % 3 == 1 ? "same" : "causal";
    check_gradients(c, dice);
    check_batch<float>(c);
  }
}

void test_windows_and_edges() {
  Dice dice(1, 52);
  for (int n = 0; n < 12; ++n) {
    NodeCase c = case_of("window_pooling_1d", {{2, dice.integer(4, 7), 3}}, {}, dice);
    c.options.numbers = {{"size", {static_cast<double>(dice.integer(1, 3))}},
                         {"stride", {static_cast<double>(dice.integer(1, 3))}}};
    c.options.texts = {{"operation", n % 2 == 0 ? "max" : "average"},
                       {"padding", dice.chance(0.5) ? "same" : "valid"}};
    check_gradients(c, dice);
    check_batch<float>(c);
    NodeCase edges = case_of("pad_steps", {{2, 5, 3}}, {}, dice);
    edges.options.numbers = {{"before", {static_cast<double>(dice.integer(-2, 2))}},
                             {"after", {static_cast<double>(dice.integer(-2, 2))}}};
    check_gradients(edges, dice);
    check_batch<float>(edges);
  }
  NodeCase fold = case_of("fold_steps", {{2, 3, 4}}, {}, dice);
  CHECK(run_node<double>(fold).dims == Dims({6, 4}));
  check_gradients(fold, dice);
  NodeCase shorter = case_of("pad_steps", {{2, 3, 4}}, {}, dice);
  shorter.options.numbers = {{"before", {-2}}, {"after", {-2}}};
  CHECK_THROWS(run_node<double>(shorter), std::invalid_argument);
}

void test_products() {
  Dice dice(1, 53);
  NodeCase c = case_of("product", {{2, 3, 4, 5}, {2, 5, 3}}, {}, dice);
  c.options.numbers = {{"shared", {1}}, {"contracted", {1}}};
  CHECK(run_node<double>(c).dims == Dims({2, 3, 4, 3}));
  check_gradients(c, dice);
  NodeCase weight = case_of("product", {{2, 3, 4, 5}}, {4 * 5 * 6}, dice);
  weight.options.numbers = {{"contracted", {2}}, {"dims", {4, 5, 3, 2}}};
  CHECK(run_node<double>(weight).dims == Dims({2, 3, 3, 2}));
  check_gradients(weight, dice);
  check_batch<float>(weight);
  weight.options.numbers["contracted"] = {1};
  CHECK_THROWS(run_node<double>(weight), std::invalid_argument);
  NodeCase value = case_of("weight", {}, {6}, dice);
  value.options.numbers["dims"] = {2, 3};
  CHECK(run_node<double>(value).output == value.weights[0]);
  check_gradients(value, dice);
}

void test_batch_normalization() {
  Dice dice(1, 54);
  for (int n = 0; n < 12; ++n) {
    NodeCase c = case_of("batch_normalization", {{3, 4, 2}}, {2, 2, 2, 2}, dice);
    c.training = n % 3 != 0;
    c.options.numbers = {{"inference", {n % 3 == 1 ? 1.0 : 0.0}}};
    c.masks = {CaseMask()};
    c.masks[0].given = dice.chance(0.5);
    c.masks[0].dims = {3, 4};
    for (Index i = 0; i < 12; ++i)
      c.masks[0].bytes.push_back(dice.chance(0.7));
    const NodeResult result = run_node<double>(c, Numbers(24, 1));
    CHECK(result.output.size() == 24 && result.d_weights[0].size() == 2);
    // the moving ones are no weights of a gradient
    CHECK(result.d_weights[2].empty() && result.d_weights[3].empty());
  }
}

// What stands at masked positions, to which no gradient comes, changes nothing anywhere else.
template <class T> void test_masked_batch_normalization() {
  Dice dice(1, 58);
  for (const bool training : {true, false}) {
    NodeCase c = case_of("batch_normalization", {{2, 3, 2}}, {2, 2, 2, 2}, dice);
    c.training = training;
    c.masks = {CaseMask()};
    c.masks[0].given = true;
    c.masks[0].dims = {2, 3};
    c.masks[0].bytes = {1, 0, 1, 0, 1, 1};
    Numbers upstream = draw(dice, 12);
    for (std::size_t i : {2, 3, 6, 7})
      upstream[i] = 0;
    const NodeResult clean = run_node<T>(c, upstream);
    c.inputs[0][2] = NAN;
    c.inputs[0][3] = INFINITY;
    c.inputs[0][6] = -INFINITY;
    c.inputs[0][7] = 1e30;
    NodeResult poisoned = run_node<T>(c, upstream);
    for (std::size_t i : {2, 3, 6, 7})
      poisoned.output[i] = clean.output[i];
    CHECK(poisoned.output == clean.output && poisoned.d_inputs == clean.d_inputs);
    CHECK(poisoned.d_weights == clean.d_weights);
  }
}

// What is pending is there after a run in training, and there alone.
void test_pending() {
  Dice dice(1, 55);
  const NodeCase c = case_of("batch_normalization", {{4, 1}}, {1, 1, 1, 1}, dice);
  Program<double> program(plan_of(c));
  Run<double> &run = program.run();
  std::vector<Numbers> weights = c.weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    run.weights[i].data = weights[i].data();
    run.weights[i].size = 1;
  }
  program.prepare(c.dims);
  const Numbers x = {1, 2, 3, 6};
  std::copy(x.begin(), x.end(), run.values[0].data.data());
  run.training = true;
  CHECK(!program.separable());
  program.forward();
  CHECK(run.weights[2].has_pending && !run.weights[0].has_pending && weights == c.weights);
  CHECK(near({run.weights[2].pending[0]}, {0.99 * weights[2][0] + 0.01 * 3}, 1e-14));
  CHECK(near({run.weights[3].pending[0]}, {0.99 * weights[3][0] + 0.01 * 3.5}, 1e-14));
  run.training = false;
  CHECK(program.separable());
  program.forward();
  CHECK(!run.weights[2].has_pending);
}

void test_noise() {
  Dice dice(1, 56);
  for (const char *operation : {"add", "multiply"}) {
    NodeCase c = case_of("noise", {{3, 5}}, {}, dice);
    c.options.numbers = {{"stddev", {0.5}}, {"key", {1, 2}}};
    c.options.texts["operation"] = operation;
    CHECK(run_node<double>(c).output == c.inputs[0]);
    c.training = true;
    CHECK(run_node<double>(c).output != c.inputs[0]);
    check_gradients(c, dice);
  }
}

// A function from outside: a[B, N], b[B, N] -> [B], the sum of a^2 * b.
std::shared_ptr<NodeFunction> function() {
  auto made = std::make_shared<NodeFunction>();
  made->shape = [](const std::vector<Dims> &dims) { return Dims{dims.at(0)[0]}; };
  made->forward = [](const std::vector<Array> &in) {
    const Index batch = in[0].dims[0], width = in[0].dims[1];
    Array out{{batch}, Buffer<double>(batch)};
    for (Index i = 0; i < batch; ++i) {
      out.data[i] = 0;
      for (Index j = i * width; j < (i + 1) * width; ++j)
        out.data[i] += in[0].data[j] * in[0].data[j] * in[1].data[j];
    }
    return out;
  };
  made->backward = [](const std::vector<Array> &in, const Array &d) {
    std::vector<Array> d_in;
    for (const bool first : {true, false}) {
      d_in.push_back({in[0].dims, Buffer<double>(in[0].data.size())});
      for (Index j = 0; j < in[0].data.size(); ++j) {
        const double a = in[0].data[j], b = in[1].data[j];
        d_in.back().data[j] = d.data[j / in[0].dims[1]] * (first ? 2 * a * b : a * a);
      }
    }
    return d_in;
  };
  return made;
}

void test_function() {
  Dice dice(1, 57);
  NodeCase c = case_of("function", {{2, 3}, {2, 3}}, {}, dice);
  CHECK_THROWS(run_node<double>(c), std::invalid_argument);
  const std::shared_ptr<NodeFunction> fun = function();
  c.options.function = fun;
  const NodeResult result = run_node<double>(c);
  Numbers expected(2, 0);
  for (std::size_t i = 0; i < 6; ++i)
    expected[i / 3] += c.inputs[0][i] * c.inputs[0][i] * c.inputs[1][i];
  CHECK(result.dims == Dims({2}) && near(result.output, expected, 1e-14));
  check_gradients(c, dice);
  CHECK(!Program<double>(plan_of(c)).separable());

  // a result, and a gradient, of another shape than was said; no gradient at all
  fun->shape = [](const std::vector<Dims> &) { return Dims{3}; };
  CHECK_THROWS(run_node<double>(c), std::invalid_argument);
  fun->shape = function()->shape;
  fun->backward = [](const std::vector<Array> &, const Array &) {
    std::vector<Array> flat;
    for (int i = 0; i < 2; ++i)
      flat.push_back({{6}, Buffer<double>(6)});
    return flat;
  };
  CHECK_THROWS(run_node<double>(c, {1, 1}), std::invalid_argument);
  fun->backward = nullptr;
  CHECK_THROWS(run_node<double>(c, {1, 1}), std::invalid_argument);
  CHECK(near(run_node<double>(c).output, expected, 1e-14));
}

} // namespace

int main() {
  test_convolution();
  test_windows_and_edges();
  test_products();
  test_batch_normalization();
  test_masked_batch_normalization<float>();
  test_masked_batch_normalization<double>();
  test_pending();
  test_noise();
  test_function();
  return finish("test_steps");
}

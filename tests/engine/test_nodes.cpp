// Every node but those of attention: forward against its plain formula, the
// gradients against central differences, bits over threads and batches.
#include "node_case.h"

#include "cpu.h"
#include "dropout.h"

using namespace attentive_test;

namespace {

Dims random_dims(Dice &dice, Index least_rank, Index most_rank) {
  Dims dims;
  for (Index rank = dice.integer(least_rank, most_rank); rank > 0; --rank)
    dims.push_back(dice.integer(1, 5));
  return dims;
}

NodeCase one_input(const std::string &op, const Dims &dims, Dice &dice) {
  NodeCase c;
  c.op = op;
  c.dims = {dims};
  c.inputs = {draw(dice, count(dims))};
  return c;
}

std::size_t index(Index i) { return static_cast<std::size_t>(i); }

// ---- Activations ----------------------------------------------------------------

using Function = double (*)(double);
struct NamedFunction {
  const char *op, *name;
  Function value;
  Numbers edges; // differences say nothing there
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double clip(double x, double low, double high) { return std::min(std::max(x, low), high); }

const std::vector<NamedFunction> &functions() {
  static const std::vector<NamedFunction> all = {
      {"activation", "linear", [](double x) { return x; }, {}},
      {"activation", "relu", [](double x) { return std::max(x, 0.0); }, {0}},
      {"activation", "relu6", [](double x) { return clip(x, 0, 6); }, {0, 6}},
      {"activation", "leaky_relu", [](double x) { return x > 0 ? x : 0.2 * x; }, {0}},
      {"activation", "elu", [](double x) { return x > 0 ? x : std::exp(x) - 1; }, {}},
      {"activation", "celu", [](double x) { return x > 0 ? x : std::exp(x) - 1; }, {}},
      {"activation",
       "selu",
       [](double x) {
         return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (std::exp(x) - 1));
       },
       {0}},
      {"activation",
       "gelu",
       [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); },
       {}},
      {"activation", "silu", [](double x) { return x * sigmoid(x); }, {}},
      {"activation", "swish", [](double x) { return x * sigmoid(x); }, {}},
      {"activation", "mish", [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); }, {}},
      {"activation", "sigmoid", sigmoid, {}},
      {"activation", "hard_sigmoid", [](double x) { return clip(x / 6 + 0.5, 0, 1); }, {-3, 3}},
      {"activation", "hard_silu", [](double x) { return x * clip(x / 6 + 0.5, 0, 1); }, {-3, 3}},
      {"activation", "hard_swish", [](double x) { return x * clip(x / 6 + 0.5, 0, 1); }, {-3, 3}},
      {"activation", "hard_tanh", [](double x) { return clip(x, -1, 1); }, {-1, 1}},
      {"activation", "tanh", [](double x) { return std::tanh(x); }, {}},
      {"activation", "tanh_shrink", [](double x) { return x - std::tanh(x); }, {}},
      {"activation", "softplus", [](double x) { return std::log(1 + std::exp(x)); }, {}},
      {"activation", "softsign", [](double x) { return x / (1 + std::fabs(x)); }, {}},
      {"activation", "exponential", [](double x) { return std::exp(x); }, {}},
      {"activation", "log_sigmoid", [](double x) { return -std::log(1 + std::exp(-x)); }, {}},
      {"activation", "squareplus", [](double x) { return (x + std::sqrt(x * x + 4)) / 2; }, {}},
      {"activation",
       "soft_shrink",
       [](double x) { return x > 0.5    ? x - 0.5
                             : x < -0.5 ? x + 0.5
                                        : 0; },
       {-0.5, 0.5}},
      {"activation",
       "hard_shrink",
       [](double x) { return std::fabs(x) > 0.5 ? x : 0; },
       {-0.5, 0.5}},
      {"activation",
       "sparse_plus",
       [](double x) { return x <= -1 ? 0
                             : x < 1 ? (x + 1) * (x + 1) / 4
                                     : x; },
       {}},
      {"activation", "sparse_sigmoid", [](double x) { return clip((x + 1) / 2, 0, 1); }, {-1, 1}},
      {"activation", "threshold", [](double x) { return x > 0 ? x : 0; }, {0}},
      {"unary", "negative", [](double x) { return -x; }, {}},
      {"unary", "abs", [](double x) { return std::fabs(x); }, {0}},
      {"unary", "square", [](double x) { return x * x; }, {}},
      {"unary", "sqrt", [](double x) { return std::sqrt(x); }, {}},
      {"unary", "exp", [](double x) { return std::exp(x); }, {}},
      {"unary", "log", [](double x) { return std::log(x); }, {}}};
  return all;
}

void test_functions() {
  Dice dice(1, 1);
  for (const NamedFunction &function : functions()) {
    const bool positive =
        function.name == std::string("sqrt") || function.name == std::string("log");
    NodeCase c = one_input(function.op, {3, 37}, dice);
    c.options.texts[c.op == "unary" ? "operation" : "activation"] = function.name;
    for (double &x : c.inputs[0]) {
      x = positive ? 0.1 + std::fabs(x) : 4 * x;
      for (const double edge : function.edges)
        x += std::fabs(x - edge) < 1e-3 ? 0.01 : 0;
    }
    Numbers expected;
    for (const double x : c.inputs[0])
      expected.push_back(function.value(x));
    CHECK(near(run_node<double>(c).output, expected, 1e-13));
    CHECK(near(run_node<float>(c).output, expected, 2e-6));
    check_gradients(c, dice);
    check_batch<float>(c);
    // NaN is never lost, and ends of the range stay what they are
    c.dims = {{1, 5}};
    c.inputs = {{NAN, 1, 30, positive ? 1e-30 : -30, 300}};
    const NodeResult wide = run_node<double>(c), narrow = run_node<float>(c);
    CHECK(std::isnan(wide.output[0]) && std::isnan(narrow.output[0]));
    for (std::size_t i = 1; i < 4; ++i)
      CHECK(near({narrow.output[i]}, {function.value(c.inputs[0][i])}, 1e-5));
  }
}

void test_activation_numbers() {
  Dice dice(1, 2);
  NodeCase c = one_input("activation", {4, 10}, dice);
  c.options.texts["activation"] = "relu";
  c.options.numbers = {{"negative_slope", {0.1}}, {"max_value", {1.5}}, {"threshold", {0.3}}};
  Numbers expected;
  for (const double x : c.inputs[0])
    expected.push_back(x >= 1.5 ? 1.5 : x > 0.3 ? x : 0.1 * (x - 0.3));
  CHECK(near(run_node<double>(c).output, expected, 1e-14));
  check_gradients(c, dice);
  c.options.texts["activation"] = "gelu";
  c.options.numbers = {{"approximate", {1}}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double x = c.inputs[0][i];
    expected[i] = x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  CHECK(near(run_node<double>(c).output, expected, 1e-14));
  check_gradients(c, dice);
  c.options.texts["activation"] = "celu";
  c.options.numbers = {{"alpha", {0.7}}};
  check_gradients(c, dice);
  c.options.texts["activation"] = "elu";
  check_gradients(c, dice);
  c.options.texts["activation"] = "nonsense";
  CHECK_THROWS(run_node<double>(c), std::invalid_argument);
}

// What a function and its slope become at -Inf and at Inf.
struct Limits {
  const char *name;
  double low, high, low_slope, high_slope;
};

template <class T> void check_limits(const NodeOptions &options, const Limits &limits) {
  constexpr Index n = 19; // vectors, and what is left of them
  NodeCase c;
  c.op = "activation";
  c.options = options;
  c.options.texts["activation"] = limits.name;
  c.dims = {{n}};
  for (const bool high : {false, true}) {
    c.inputs = {Numbers(index(n), high ? INFINITY : -INFINITY)};
    const NodeResult result = run_node<T>(c, Numbers(index(n), 1.0));
    check_node(c, result.output == Numbers(index(n), high ? limits.high : limits.low), "limit");
    check_node(c,
               result.d_inputs[0] == Numbers(index(n), high ? limits.high_slope : limits.low_slope),
               "slope at the limit");
  }
}

void test_limits() {
  const double inf = INFINITY;
  const auto everywhere = [](const NodeOptions &options, const Limits &limits) {
    check_limits<float>(options, limits);
    check_limits<double>(options, limits);
  };
  for (const Limits &limits : std::vector<Limits>{{"linear", -inf, inf, 1, 1},
                                                  {"relu", 0, inf, 0, 1},
                                                  {"relu6", 0, 6, 0, 0},
                                                  {"elu", -1, inf, 0, 1},
                                                  {"celu", -1, inf, 0, 1},
                                                  {"gelu", 0, inf, 0, 1},
                                                  {"silu", 0, inf, 0, 1},
                                                  {"mish", 0, inf, 0, 1},
                                                  {"sigmoid", 0, 1, 0, 0},
                                                  {"hard_sigmoid", 0, 1, 0, 0},
                                                  {"hard_silu", 0, inf, 0, 1},
                                                  {"hard_tanh", -1, 1, 0, 0},
                                                  {"tanh", -1, 1, 0, 0},
                                                  {"tanh_shrink", -inf, inf, 1, 1},
                                                  {"softplus", 0, inf, 0, 1},
                                                  {"softsign", -1, 1, 0, 0},
                                                  {"exponential", 0, inf, 0, inf},
                                                  {"log_sigmoid", -inf, 0, 1, 0},
                                                  {"squareplus", 0, inf, 0, 1},
                                                  {"soft_shrink", -inf, inf, 1, 1},
                                                  {"hard_shrink", -inf, inf, 1, 1},
                                                  {"sparse_plus", 0, inf, 0, 1},
                                                  {"sparse_sigmoid", 0, 1, 0, 0},
                                                  {"threshold", 0, inf, 0, 1}})
    everywhere({}, limits);
  NodeOptions options;
  options.numbers["approximate"] = {1};
  everywhere(options, {"gelu", 0, inf, 0, 1});
  options.numbers = {{"max_value", {6}}, {"threshold", {1}}};
  everywhere(options, {"relu", 0, 6, 0, 0});
  for (const double slope : {0.0, 0.25}) {
    options.numbers = {{"negative_slope", {slope}}};
    everywhere(options, {"leaky_relu", slope == 0 ? 0 : -inf, inf, slope, 1});
    everywhere(options, {"relu", slope == 0 ? 0 : -inf, inf, slope, 1});
  }
  // the same where the square of a number is infinite
  NodeCase far;
  far.op = "activation";
  far.dims = {{2}};
  far.inputs = {{-1e30, 1e30}};
  far.options.numbers["approximate"] = {1};
  for (const char *name : {"squareplus", "gelu"}) {
    far.options.texts["activation"] = name;
    const NodeResult result = run_node<float>(far, {1, 1});
    check_node(far, result.output[0] == 0 && result.d_inputs[0] == Numbers({0, 1}), "far number");
  }
}

void test_axis_functions() {
  Dice dice(1, 3);
  for (int n = 0; n < 30; ++n) {
    const Dims dims = random_dims(dice, 2, 4);
    NodeCase c = one_input("activation", dims, dice);
    const Index axis = dice.integer(1, static_cast<Index>(dims.size()) - 1);
    c.options.numbers["axis"] = {
        static_cast<double>(dice.chance(0.5) ? axis : axis - static_cast<Index>(dims.size()))};
    Index inner = 1;
    for (std::size_t i = index(axis) + 1; i < dims.size(); ++i)
      inner *= dims[i];
    const Index size = dims[index(axis)], total = count(dims);
    Numbers softmax(index(total)), logarithm(index(total));
    for (Index i = 0; i < total; ++i) {
      const Index start = i / (size * inner) * size * inner + i % inner;
      double sum = 0;
      for (Index k = 0; k < size; ++k)
        sum += std::exp(c.inputs[0][index(start + k * inner)]);
      softmax[index(i)] = std::exp(c.inputs[0][index(i)]) / sum;
      logarithm[index(i)] = std::log(softmax[index(i)]);
    }
    c.options.texts["activation"] = "softmax";
    CHECK(near(run_node<double>(c).output, softmax, 1e-14));
    check_gradients(c, dice);
    check_batch<float>(c);
    c.options.texts["activation"] = "log_softmax";
    CHECK(near(run_node<double>(c).output, logarithm, 1e-13));
    check_gradients(c, dice);
    c.options.texts["activation"] = "sparsemax";
    const NodeResult sparse = run_node<double>(c);
    for (Index i = 0; i < total; i += size * inner) {
      double sum = 0, projected = 0;
      for (Index k = 0; k < size; ++k) {
        sum += sparse.output[index(i + k * inner)];
        projected = std::min(projected, sparse.output[index(i + k * inner)]);
      }
      CHECK(std::fabs(sum - 1) < 1e-12 && projected >= 0);
    }
    check_gradients(c, dice);
  }
  NodeCase far = one_input("activation", {2, 3}, dice);
  far.options.texts["activation"] = "softmax";
  far.inputs = {{1e30, 0, -1e30, NAN, 1, 2}};
  const NodeResult result = run_node<float>(far);
  CHECK(result.output[0] == 1 && result.output[1] == 0 && std::isnan(result.output[4]));
}

void test_glu() {
  Dice dice(1, 4);
  NodeCase c = one_input("activation", {3, 4, 6}, dice);
  c.options.texts["activation"] = "glu";
  Numbers expected;
  for (std::size_t row = 0; row < 12; ++row)
    for (std::size_t i = 0; i < 3; ++i)
      expected.push_back(c.inputs[0][row * 6 + i] * sigmoid(c.inputs[0][row * 6 + 3 + i]));
  const NodeResult result = run_node<double>(c);
  CHECK(result.dims == Dims({3, 4, 3}) && near(result.output, expected, 1e-14));
  check_gradients(c, dice);
  c.options.numbers["axis"] = {1};
  CHECK(run_node<double>(c).dims == Dims({3, 2, 6}));
  check_gradients(c, dice);
}

// ---- Layers with weights -----------------------------------------------------------

void test_dense() {
  Dice dice(1, 5);
  for (const char *activation :
       {"linear", "relu", "gelu", "tanh", "silu", "softmax", "log_softmax"})
    for (const bool bias : {true, false}) {
      const Dims dims = random_dims(dice, 2, 4);
      const Index units = dice.integer(1, 6), features = dims.back();
      NodeCase c = one_input("dense", dims, dice);
      c.options.numbers["units"] = {static_cast<double>(units)};
      c.options.texts["activation"] = activation;
      c.weights = {draw(dice, features * units), bias ? draw(dice, units) : Numbers()};
      NodeCase bent = c;
      bent.op = "activation";
      bent.dims[0].back() = units;
      bent.weights.clear();
      bent.inputs[0].clear();
      for (Index row = 0; row < count(dims) / features; ++row)
        for (Index p = 0; p < units; ++p) {
          double sum = bias ? c.weights[1][index(p)] : 0;
          for (Index d = 0; d < features; ++d)
            sum += c.inputs[0][index(row * features + d)] * c.weights[0][index(d * units + p)];
          bent.inputs[0].push_back(sum);
        }
      const NodeResult result = run_node<double>(c);
      CHECK(result.dims == bent.dims[0]);
      CHECK(near(result.output, run_node<double>(bent).output, 1e-13));
      check_gradients(c, dice);
      check_batch<float>(c);
    }
}

void test_embedding() {
  Dice dice(1, 6);
  for (int n = 0; n < 5; ++n) {
    NodeCase c;
    c.op = "embedding";
    c.dims = {random_dims(dice, 1, 3)};
    const Index width = dice.pick<Index>({1, 3, 70});
    c.options.numbers["width"] = {static_cast<double>(width)};
    c.weights = {draw(dice, 4 * width)};
    c.inputs = {Numbers()};
    Numbers expected;
    for (Index i = 0; i < count(c.dims[0]); ++i) {
      const Index id = dice.integer(0, 3);
      c.inputs[0].push_back(static_cast<double>(id));
      for (Index d = 0; d < width; ++d)
        expected.push_back(c.weights[0][index(id * width + d)]);
    }
    CHECK(run_node<double>(c).output == expected);
    check_gradients(c, dice, false);
    CHECK(run_node<double>(c, Numbers(expected.size(), 1)).d_inputs[0].empty());
    for (const double bad : {-1.0, 4.0, double(NAN), double(INFINITY)}) {
      c.inputs[0][0] = bad;
      CHECK_THROWS(run_node<float>(c), std::invalid_argument);
    }
  }
}

// Normalises with plain loops over all positions.
Numbers normalized(const NodeCase &c, const std::vector<bool> &over, double epsilon,
                   const std::string &statistics) {
  const Dims &dims = c.dims[0];
  const Index total = count(dims);
  Numbers result;
  for (Index i = 0; i < total; ++i) {
    double sum = 0, squares = 0, n = 0;
    Index place = 0; // of i among the normalised axes
    const auto split = [&](Index at, Index &kept, Index &free) {
      kept = free = 0;
      Index below = total;
      for (std::size_t axis = 0; axis < dims.size(); ++axis) {
        below /= dims[axis];
        const Index k = at / below % dims[axis];
        (over[axis] ? free : kept) = (over[axis] ? free : kept) * dims[axis] + k;
      }
    };
    Index mine = 0;
    split(i, mine, place);
    for (const int pass : {0, 1})
      for (Index j = 0; j < total; ++j) {
        Index other = 0, unused = 0;
        split(j, other, unused);
        if (other != mine)
          continue;
        const double x = c.inputs[0][index(j)];
        if (pass == 0) {
          sum += x;
          n += 1;
        } else {
          const double d = statistics == "mean_square" ? x : x - sum / n;
          squares += d * d;
        }
      }
    const double center = statistics == "mean_variance" ? sum / n : 0;
    double y = (c.inputs[0][index(i)] - center) / std::sqrt(squares / n + epsilon);
    if (!c.weights[0].empty())
      y *= c.weights[0][index(place)];
    if (!c.weights[1].empty())
      y += c.weights[1][index(place)];
    result.push_back(y);
  }
  return result;
}

void test_layer_normalization() {
  Dice dice(1, 7);
  for (int n = 0; n < 60; ++n) {
    NodeCase c = one_input("layer_normalization", random_dims(dice, 2, 4), dice);
    const Dims &dims = c.dims[0];
    std::vector<bool> over(dims.size(), false);
    over[index(dice.integer(1, static_cast<Index>(dims.size()) - 1))] = true;
    for (std::size_t axis = 1; axis < dims.size(); ++axis)
      over[axis] = over[axis] || dice.chance(0.3);
    Index size = 1;
    std::vector<double> axes;
    for (std::size_t axis = 0; axis < dims.size(); ++axis)
      if (over[axis]) {
        size *= dims[axis];
        axes.push_back(static_cast<double>(axis) -
                       (dice.chance(0.5) ? static_cast<double>(dims.size()) : 0.0));
      }
    const std::string statistics =
        dice.pick<const char *>({"mean_variance", "mean_variance", "variance", "mean_square"});
    c.options.numbers = {{"axes", axes}, {"epsilon", {0.01}}};
    c.options.texts["statistics"] = statistics;
    c.weights = {dice.chance(0.7) ? draw(dice, size) : Numbers(),
                 dice.chance(0.7) ? draw(dice, size) : Numbers()};
    CHECK(near(run_node<double>(c).output, normalized(c, over, 0.01, statistics), 1e-12));
    check_gradients(c, dice);
    check_batch<float>(c);
  }
  NodeCase unit = one_input("layer_normalization", {2, 3}, dice); // to length 1
  unit.options.texts["statistics"] = "sum_square";
  unit.options.numbers["epsilon"] = {1e-24};
  unit.inputs[0] = {1, 2, 2, 0, -3, 4};
  CHECK(near(run_node<double>(unit).output, {1 / 3., 2 / 3., 2 / 3., 0, -.6, .8}, 1e-14));
  check_gradients(unit, dice);
  NodeCase wide = one_input("layer_normalization", {9, 70, 33}, dice); // several parts of rows
  wide.weights = {draw(dice, 33), draw(dice, 33)};
  check_gradients(wide, dice);
}

// ---- Arithmetic, shapes -------------------------------------------------------------

double combine(const std::string &operation, double a, double b) {
  if (operation == "add" || operation == "average")
    return a + b;
  if (operation == "subtract")
    return a - b;
  if (operation == "multiply")
    return a * b;
  if (operation == "divide")
    return a / b;
  if (operation == "power")
    return std::pow(a, b);
  return operation == "maximum" ? std::max(a, b) : std::min(a, b);
}

// The number of a broadcast input at position `at` of the result.
double broadcast_number(const Numbers &x, const Dims &dims, const Dims &common, Index at) {
  Index place = 0, stride = 1;
  for (std::size_t i = common.size(); i-- > 0;) {
    const Index k = at % common[i];
    at /= common[i];
    const std::size_t missing = common.size() - dims.size();
    if (i >= missing) {
      place += (dims[i - missing] == 1 ? 0 : k) * stride;
      stride *= dims[i - missing];
    }
  }
  return x[index(place)];
}

void test_merges() {
  Dice dice(1, 8);
  for (const char *op : {"binary", "merge"})
    for (const char *operation :
         {"add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "average"})
      for (int n = 0; n < 12; ++n) {
        const bool binary = op == std::string("binary");
        if ((binary && operation == std::string("average")) ||
            (!binary && (operation == std::string("divide") || operation == std::string("power"))))
          continue;
        NodeCase c;
        c.op = op;
        c.options.texts["operation"] = operation;
        const Dims common = random_dims(dice, 1, 4);
        std::vector<Dims> lined;
        for (Index k = binary ? 2 : dice.integer(2, 4); k > 0; --k) {
          Dims dims = common;
          for (std::size_t i = 0; i < dims.size() && n % 2 == 1; ++i)
            if (dice.chance(0.4))
              dims[i] = 1;
          Dims full = dims;
          if (n % 4 == 3 && dims.size() > 1 && dice.chance(0.5)) { // an axis less
            const std::size_t gone = binary ? 0 : 1;
            full[gone] = 1;
            dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(gone));
          }
          lined.push_back(full);
          c.dims.push_back(dims);
          c.inputs.push_back(draw(dice, count(dims), operation == std::string("power") ? 0.2 : -2));
        }
        Dims result_dims(lined[0].size(), 1);
        for (const Dims &dims : lined)
          for (std::size_t i = 0; i < dims.size(); ++i)
            result_dims[i] = std::max(result_dims[i], dims[i]);
        std::size_t rank = 0;
        for (const Dims &dims : c.dims)
          rank = std::max(rank, dims.size());
        if (rank < result_dims.size()) // every input lost an axis
          result_dims.erase(result_dims.begin() + (binary ? 0 : 1));
        for (Dims &dims : lined)
          if (rank < dims.size())
            dims.erase(dims.begin() + (binary ? 0 : 1));
        Numbers expected;
        for (Index i = 0; i < count(result_dims); ++i) {
          double value = broadcast_number(c.inputs[0], lined[0], result_dims, i);
          for (std::size_t k = 1; k < c.inputs.size(); ++k)
            value =
                combine(operation, value, broadcast_number(c.inputs[k], lined[k], result_dims, i));
          expected.push_back(operation == std::string("average")
                                 ? value / static_cast<double>(c.inputs.size())
                                 : value);
        }
        const NodeResult result = run_node<double>(c);
        CHECK(result.dims == result_dims && near(result.output, expected, 1e-13));
        bool edge = false; // differences say nothing near a division by 0
        for (const double x : c.inputs[1])
          edge = edge || (operation == std::string("divide") && std::fabs(x) < 0.05);
        if (!edge)
          check_gradients(c, dice);
      }
  NodeCase tie;
  tie.op = "merge";
  tie.options.texts["operation"] = "maximum";
  tie.dims = {{1, 1}, {1, 1}, {1, 1}};
  tie.inputs = {{2}, {2}, {2}};
  const NodeResult result = run_node<double>(tie, {1});
  CHECK(result.d_inputs[0][0] == 0.25 && result.d_inputs[1][0] == 0.25 &&
        result.d_inputs[2][0] == 0.5);
  NodeCase misfit = tie;
  misfit.dims = {{1, 2}, {1, 3}};
  misfit.inputs = {{1, 2}, {1, 2, 3}};
  CHECK_THROWS(run_node<double>(misfit), std::invalid_argument);
}

// The same tensor twice: its gradient is the sum of both sides'.
void test_one_tensor_twice() {
  for (const char *operation : {"multiply", "add", "subtract"}) {
    ProgramPlan plan;
    plan.values = 2;
    plan.inputs = {0};
    plan.outputs = {1};
    plan.output_masks = {-1};
    ProgramNode node;
    node.op = "merge";
    node.options.texts["operation"] = operation;
    node.links.inputs = {0, 0};
    node.links.outputs = {1};
    plan.nodes = {node};
    Program<double> program(plan);
    program.prepare({{1, 2}});
    Run<double> &run = program.run();
    run.values[0].data[0] = 3;
    run.values[0].data[1] = -1;
    program.forward();
    program.begin_backward();
    want_gradient<double>(run.values[0], 2, false);
    want_gradient<double>(run.values[1], 2, false);
    run.values[1].has_gradient = true;
    run.values[1].gradient[0] = run.values[1].gradient[1] = 1;
    program.backward();
    const double expected = operation == std::string("multiply") ? 6
                            : operation == std::string("add")    ? 2
                                                                 : 0;
    CHECK(run.values[0].gradient[0] == expected);
  }
}

void test_concatenate() {
  Dice dice(1, 9);
  for (int n = 0; n < 20; ++n) {
    NodeCase c;
    c.op = "concatenate";
    Dims dims = random_dims(dice, 2, 4);
    const std::size_t axis = index(dice.integer(1, static_cast<Index>(dims.size()) - 1));
    c.options.numbers["axis"] = {static_cast<double>(axis)};
    for (Index k = dice.integer(1, 4); k > 0; --k) {
      dims[axis] = dice.integer(1, 3);
      c.dims.push_back(dims);
      c.inputs.push_back(draw(dice, count(dims)));
    }
    Index inner = 1, outer = 1;
    for (std::size_t i = 0; i < dims.size(); ++i)
      (i < axis ? outer : i > axis ? inner : dims[axis]) *= i == axis ? 1 : dims[i];
    Numbers expected;
    for (Index row = 0; row < outer; ++row)
      for (std::size_t k = 0; k < c.inputs.size(); ++k)
        for (Index i = 0; i < c.dims[k][axis] * inner; ++i)
          expected.push_back(c.inputs[k][index(row * c.dims[k][axis] * inner + i)]);
    CHECK(run_node<double>(c).output == expected);
    check_gradients(c, dice);
    check_batch<float>(c);
  }
}

void test_shapes() {
  Dice dice(1, 10);
  NodeCase c = one_input("reshape", {2, 3, 4}, dice);
  for (const auto &[target, dims] : std::vector<std::pair<Numbers, Dims>>{
           {{-1}, {2, 12}}, {{6, 2}, {2, 6, 2}}, {{2, -1, 3}, {2, 2, 2, 3}}}) {
    c.options.numbers["target"] = target;
    const NodeResult result = run_node<double>(c);
    CHECK(result.dims == dims && result.output == c.inputs[0]);
    check_gradients(c, dice);
  }
  c.options.numbers["target"] = {5};
  CHECK_THROWS(run_node<double>(c), std::invalid_argument);
  c.dims = {{0, 3, 4}};
  c.inputs = {{}};
  c.options.numbers["target"] = {-1};
  CHECK(run_node<double>(c).dims == Dims({0, 12}));

  c = one_input("transpose", {2, 3, 4}, dice);
  c.options.numbers["order"] = {0, 2, 1};
  Numbers expected;
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t j = 0; j < 4; ++j)
      for (std::size_t i = 0; i < 3; ++i)
        expected.push_back(c.inputs[0][b * 12 + i * 4 + j]);
  CHECK(run_node<double>(c).dims == Dims({2, 4, 3}) && run_node<double>(c).output == expected);
  check_gradients(c, dice);
  c.options.numbers["order"] = {2, 0, 1};
  CHECK(run_node<double>(c).dims == Dims({4, 2, 3}));
  check_gradients(c, dice);

  c = one_input("cast", {1, 5}, dice);
  c.inputs = {{-1.5, 0, 0.3, 2.9, 7}};
  c.options.texts["to"] = "integer";
  CHECK(run_node<double>(c).output == Numbers({-1, 0, 0, 2, 7}));
  c.options.texts["to"] = "logical";
  CHECK(run_node<double>(c).output == Numbers({1, 0, 1, 1, 1}));
  c.options.texts["to"] = "float";
  check_gradients(c, dice);

  NodeCase constant;
  constant.op = "constant";
  constant.options.numbers = {{"dims", {2, 2}}, {"values", {1, 2, 3, 4}}};
  CHECK(run_node<float>(constant).output == Numbers({1, 2, 3, 4}));

  NodeCase weight;
  weight.op = "weight";
  weight.options.numbers = {{"dims", {2, 2}}};
  weight.weights = {{1, 2, 3, 4}};
  CHECK(run_node<float>(weight).output == Numbers({1, 2, 3, 4}));
  for (bool accumulate : {false, true}) {
    weight.accumulate = accumulate;
    check_gradients(weight, dice);
  }
}

// ---- Pooling, penalties, masks ----------------------------------------------------------

// Without an axis there is one order, and the number itself.
void test_transposed_number() {
  NodeCase c;
  c.op = "transpose";
  c.dims = {Dims()};
  c.inputs = {{3}};
  const NodeResult result = run_node<double>(c, {2});
  CHECK(result.dims.empty() && result.output == Numbers({3}));
  CHECK(result.d_inputs[0] == Numbers({2}));
}

void test_pooling() {
  Dice dice(1, 11);
  for (int n = 0; n < 40; ++n) {
    const bool mean = n % 2 == 0, last = dice.chance(0.3), masked = mean && dice.chance(0.6);
    const Index batch = dice.integer(1, 4), times = dice.integer(1, 6), width = dice.integer(1, 70);
    NodeCase c = one_input(mean ? "global_average_pooling_1d" : "global_max_pooling_1d",
                           last ? Dims{batch, width, times} : Dims{batch, times, width}, dice);
    c.options.numbers["axis"] = {last ? 2.0 : 1.0};
    c.options.numbers["keepdims"] = {dice.chance(0.5) ? 1.0 : 0.0};
    c.masks = {CaseMask()};
    c.masks[0].given = masked;
    c.masks[0].dims = {batch, times};
    for (Index i = 0; i < batch * times; ++i)
      c.masks[0].bytes.push_back(dice.chance(0.6));
    Numbers expected;
    for (Index b = 0; b < batch; ++b)
      for (Index d = 0; d < width; ++d) {
        double sum = 0, top = -INFINITY, kept = 0;
        for (Index t = 0; t < times; ++t) {
          double &x =
              c.inputs[0][index(last ? (b * width + d) * times + t : (b * times + t) * width + d)];
          if (masked && c.masks[0].bytes[index(b * times + t)] == 0) {
            x = t == 0 ? NAN : x; // cannot be seen
            continue;
          }
          sum += x;
          kept += 1;
          top = std::max(top, x);
        }
        expected.push_back(mean ? kept == 0 ? 0 : sum / kept : top);
      }
    const NodeResult result = run_node<double>(c);
    CHECK(near(result.output, expected, 1e-13));
    CHECK(result.dims.size() == (c.options.flag("keepdims") ? 3 : 2));
    for (double &x : c.inputs[0])
      x = std::isnan(x) ? 5 : x;
    check_gradients(c, dice);
    check_batch<float>(c);
  }
  NodeCase tie = one_input("global_max_pooling_1d", {1, 4, 1}, dice);
  tie.inputs = {{1, 3, 3, 2}};
  CHECK(run_node<double>(tie, {1}).d_inputs[0] == Numbers({0, 0.5, 0.5, 0}));
}

void test_activity_penalty() {
  Dice dice(1, 12);
  NodeCase c = one_input("activity_penalty", {4, 3, 2}, dice);
  c.options.numbers = {{"l1", {0.1}}, {"l2", {0.3}}};
  double expected = 0;
  for (const double x : c.inputs[0])
    expected += (0.1 * std::fabs(x) + 0.3 * x * x) / 4;
  const NodeResult result = run_node<double>(c);
  CHECK(near({result.loss}, {expected}, 1e-14) && result.output == c.inputs[0]);
  check_gradients(c, dice);
}

CaseMask mask_of(const Dims &dims, const std::vector<std::uint8_t> &bytes) {
  CaseMask mask;
  mask.given = true;
  mask.dims = dims;
  mask.bytes = bytes;
  return mask;
}

void test_masks() {
  NodeCase c;
  c.op = "token_mask";
  c.makes_mask = true;
  c.dims = {{2, 3}};
  c.inputs = {{1, 0, 2, 0, 0, -1}};
  CHECK(run_node<float>(c).mask == Numbers({1, 0, 1, 0, 0, 1}));
  CHECK(run_node<float>(c).mask_dims == Dims({2, 3}));

  NodeCase numbers;
  numbers.op = "mask_value";
  numbers.masks = {mask_of({2, 2}, {1, 0, 0, 1})};
  CHECK(run_node<float>(numbers).output == Numbers({1, 0, 0, 1}));
  CHECK(run_node<float>(numbers).dims == Dims({2, 2}));

  NodeCase both;
  both.makes_mask = true;
  both.op = "mask_or";
  both.masks = {mask_of({2, 2}, {1, 0, 0, 0}), mask_of({2, 1}, {0, 1})};
  CHECK(run_node<float>(both).mask == Numbers({1, 0, 1, 1}));
  NodeCase steps;
  steps.op = "step_mask";
  steps.makes_mask = true;
  steps.dims = {{1, 3, 2}};
  steps.inputs = {{0, 2, 2, 2, NAN, 2}};
  steps.options.numbers["value"] = {2};
  CHECK(run_node<float>(steps).mask == Numbers({1, 0, 1}));
  CHECK(run_node<float>(steps).mask_dims == Dims({1, 3}));

  NodeCase folded;
  folded.op = "mask_fold";
  folded.makes_mask = true;
  folded.masks = {mask_of({2, 3, 1}, {1, 0, 1, 0, 0, 1})};
  CHECK(run_node<float>(folded).mask == Numbers({1, 0, 1, 0, 0, 1}));
  CHECK(run_node<float>(folded).mask_dims == Dims({6, 1}));
  folded.masks = {mask_of({2}, {1, 0})};
  CHECK_THROWS(run_node<float>(folded), std::invalid_argument);

  both.op = "mask_and";
  CHECK(run_node<float>(both).mask == Numbers({0, 0, 0, 0}));
  both.masks = {mask_of({2, 2}, {1, 0, 1, 1}), mask_of({2, 1}, {1, 1})};
  CHECK(run_node<float>(both).mask == Numbers({1, 0, 1, 1}));

  NodeCase joined;
  joined.op = "mask_concatenate";
  joined.makes_mask = true;
  joined.dims = {{2, 2, 3}, {2, 1, 3}};
  joined.inputs = {Numbers(12, 1), Numbers(6, 1)};
  joined.options.numbers["axis"] = {1};
  joined.masks = {mask_of({2, 2}, {1, 0, 0, 1}), CaseMask()};
  CHECK(run_node<float>(joined).mask == Numbers({1, 0, 1, 0, 1, 1}));
  CHECK(run_node<float>(joined).mask_dims == Dims({2, 3}));
  joined.dims = {{2, 2, 3}, {2, 2, 1}};
  joined.inputs = {Numbers(12, 1), Numbers(4, 1)};
  joined.options.numbers["axis"] = {-1};
  joined.masks[1] = mask_of({2, 2}, {1, 1, 0, 0});
  CHECK(run_node<float>(joined).mask == Numbers({1, 0, 0, 0}));
}

// A gradient that is no number reaches only the values that its query sees.
void test_hidden_gradients() {
  Dice dice(1, 15);
  NodeCase c;
  c.op = "additive_attention";
  c.options.numbers["causal"] = {1};
  for (int i = 0; i < 3; ++i) { // query, value, key
    c.dims.push_back({1, 2, 3});
    c.inputs.push_back(draw(dice, 6));
  }
  c.weights = {draw(dice, 3), {}, {}};
  const auto score = [&](std::size_t t, std::size_t s) {
    double sum = 0;
    for (std::size_t j = 0; j < 3; ++j)
      sum += c.weights[0][j] * std::tanh(c.inputs[0][t * 3 + j] + c.inputs[2][s * 3 + j]);
    return std::exp(sum);
  };
  const double weight = score(1, 1) / (score(1, 0) + score(1, 1));
  const NodeResult result = run_node<double>(c, {NAN, 1, INFINITY, 2, -1, 3});
  const Numbers &d_value = result.d_inputs[1];
  CHECK(std::isnan(d_value[0]) && std::isinf(d_value[2]));
  CHECK(near({d_value.begin() + 3, d_value.end()}, {2 * weight, -weight, 3 * weight}, 1e-13));
}

// ---- Dropout -----------------------------------------------------------------------------

void test_dropout() {
  Dice dice(1, 13);
  NodeCase c = one_input("dropout", {3, 20, 30}, dice);
  c.options.numbers = {{"rate", {0.3}}, {"key", {7, 9}}};
  CHECK(run_node<double>(c).output == c.inputs[0]);
  c.training = true;
  c.call = 5;
  c.batch_offset = 2;
  Dropout dropout;
  dropout.rate = 0.3;
  dropout.seed = 7ull << 32 | 9u;
  dropout.call = 5;
  dropout.batch_offset = 2;
  AttentionShape shape;
  shape.free = shape.heads = 1;
  const DropoutMask mask(dropout, shape);
  Numbers expected;
  double kept = 0;
  for (Index b = 0; b < 3; ++b)
    for (Index i = 0; i < 600; ++i) {
      const bool keeps = mask.head(b, 0).keeps(i / 256 * 32 + i % 32, i % 256 / 32);
      kept += keeps;
      expected.push_back(keeps ? c.inputs[0][index(b * 600 + i)] * mask.scale() : 0);
    }
  CHECK(near(run_node<double>(c).output, expected, 1e-15));
  CHECK(std::fabs(kept / 1800 - 0.7) < 0.04);
  check_gradients(c, dice);
  check_batch<float>(c);
  NodeCase other = c;
  other.options.numbers["use"] = {1};
  CHECK(run_node<double>(other).output != expected);
  other = c;
  other.call = 6;
  CHECK(run_node<double>(other).output != expected);

  c.options.numbers["noise_shape"] = {-1, 1, 30};
  const NodeResult shared = run_node<double>(c);
  for (Index b = 0; b < 3; ++b)
    for (Index t = 0; t < 20; ++t)
      for (Index d = 0; d < 30; ++d)
        CHECK((shared.output[index((b * 20 + t) * 30 + d)] == 0) ==
              (shared.output[index(b * 600 + d)] == 0));
  check_gradients(c, dice);
  check_batch<float>(c);
  c.options.numbers["noise_shape"] = {1, 20, 1};
  check_gradients(c, dice);
  c.options.numbers["noise_shape"] = {1, 20, 7};
  CHECK_THROWS(run_node<double>(c), std::invalid_argument);
  c.options.numbers.erase("noise_shape");
  c.options.numbers["rate"] = {1};
  CHECK(run_node<double>(c).output == Numbers(1800, 0.0));
}

// Enough numbers for several tasks.
void test_large() {
  Dice dice(1, 14);
  const Dims dims = {17, 50, 64};
  std::vector<NodeCase> cases;
  for (const char *op :
       {"activation", "dropout", "layer_normalization", "global_average_pooling_1d",
        "global_max_pooling_1d", "transpose", "reshape", "merge", "concatenate"})
    cases.push_back(one_input(op, dims, dice));
  cases[0].options.texts["activation"] = "gelu";
  cases[1].options.numbers = {{"rate", {0.1}}, {"key", {1, 2}}};
  cases[2].weights = {draw(dice, 64), draw(dice, 64)};
  cases[5].options.numbers["order"] = {0, 2, 1};
  cases[6].options.numbers["target"] = {-1};
  cases[7].options.texts["operation"] = "add";
  for (const std::size_t k : {7u, 8u}) {
    cases[k].dims.push_back(dims);
    cases[k].inputs.push_back(draw(dice, count(dims)));
  }
  for (NodeCase &c : cases) {
    c.training = true;
    const Numbers upstream = draw(dice, static_cast<Index>(run_node<float>(c).output.size()));
    const NodeResult one = run_node<float>(c, upstream);
    for (const int threads : {2, 5}) {
      c.threads = threads;
      const NodeResult many = run_node<float>(c, upstream);
      CHECK(many.output == one.output && many.d_inputs == one.d_inputs &&
            many.d_weights == one.d_weights);
    }
  }
}

// What kernels compute, against the plain functions over their whole range.
template <class T> void test_curves(double tolerance) {
  struct Curve {
    const char *name;
    double (*value)(double);
  };
  const Curve curves[] = {
      {"sigmoid", sigmoid},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"gelu", [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
      {"silu", [](double x) { return x * sigmoid(x); }}};
  NodeCase c;
  c.op = "activation";
  c.dims = {{1, 4001}};
  c.inputs = {Numbers()};
  for (int i = -2000; i <= 2000; ++i) // dense around 0
    c.inputs[0].push_back(static_cast<double>(static_cast<T>(std::pow(i / 2000.0, 3) * 9)));
  for (const Curve &curve : curves) {
    c.options.texts["activation"] = curve.name;
    const NodeResult result = run_node<T>(c);
    for (std::size_t i = 0; i < c.inputs[0].size(); ++i) {
      const double expected = curve.value(c.inputs[0][i]);
      check_node(c, std::fabs(result.output[i] - expected) <= tolerance * std::fabs(expected),
                 "relative error");
    }
  }
}

} // namespace

int main() {
  for (const Level level : available_levels()) {
    set_level(level_name(level));
    test_functions();
    test_activation_numbers();
    test_limits();
    test_axis_functions();
    test_glu();
    test_curves<float>(8e-6);
    test_curves<double>(2e-14);
    test_dense();
    test_layer_normalization();
    test_merges();
    test_dropout();
    test_large();
  }
  test_embedding();
  test_one_tensor_twice();
  test_concatenate();
  test_shapes();
  test_transposed_number();
  test_pooling();
  test_activity_penalty();
  test_masks();
  test_hidden_gradients();
  return finish("test_nodes");
}

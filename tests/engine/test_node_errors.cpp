// What does not fit together: every node says so when it is made, planned or run,
// and in words that name the reason.
#include "node_case.h"

using namespace attentive_test;

namespace {

struct Wrong {
  const char *op;
  std::vector<Dims> dims;
  NodeOptions options;
  const char *reason;
  Numbers second; // the numbers of the second input; else 1, 2, ...
};

NodeOptions numbers(const std::map<std::string, std::vector<double>> &all) {
  NodeOptions options;
  options.numbers = all;
  return options;
}
NodeOptions text(const std::string &name, const std::string &value,
                 const std::map<std::string, std::vector<double>> &all = {}) {
  NodeOptions options = numbers(all);
  options.texts[name] = value;
  return options;
}

NodeCase case_of(const Wrong &wrong) {
  NodeCase c;
  c.op = wrong.op;
  c.dims = wrong.dims;
  c.options = wrong.options;
  for (const Dims &dims : wrong.dims) {
    c.inputs.emplace_back();
    for (Index i = 0; i < count(dims); ++i)
      c.inputs.back().push_back(static_cast<double>(i + 1));
  }
  if (!wrong.second.empty())
    c.inputs.at(1) = wrong.second;
  return c;
}

template <class T> void check_wrong(const NodeCase &c, const std::string &reason) {
  std::string said;
  try {
    run_node<T>(c);
  } catch (const std::invalid_argument &e) {
    said = e.what();
  }
  const bool holds = said.find(reason) != std::string::npos;
  if (!holds)
    std::printf("\"%s\" does not say \"%s\"\n", said.c_str(), reason.c_str());
  check_node(c, holds, "error");
}

void test_shapes_and_options() {
  const std::vector<Wrong> all = {
      {"nonsense", {{2}}, {}, "there is no node \"nonsense\"", {}},
      {"activation", {{2, 3}}, text("activation", "glu"), "size is odd", {}},
      {"activation", {{2, 3}}, text("activation", "softmax", {{"axis", {5}}}), "no such axis", {}},
      {"activation", {{2, 3}}, text("activation", "x"), "there is no activation \"x\"", {}},
      {"unary", {{2}}, text("operation", "x"), "there is no activation \"x\"", {}},
      {"binary", {{2}, {2}}, text("operation", "x"), "there is no operation \"x\"", {}},
      {"binary", {{2}, {3}}, text("operation", "add"), "sizes 2 and 3 on one axis", {}},
      {"compare", {{2}, {2}}, text("operation", "x"), "there is no comparison \"x\"", {}},
      {"reduce", {{2}}, text("operation", "x"), "there is no reduction \"x\"", {}},
      {"reduce", {{2, 0}}, text("operation", "argmax"), "largest or smallest of no numbers", {}},
      {"layer_normalization", {{2, 3}}, text("statistics", "x"), "no statistics \"x\"", {}},
      {"matmul", {{3}, {3, 2}}, {}, "two axes at least", {}},
      {"matmul", {{2, 3}, {2, 3}}, {}, "3 columns and 2 rows", {}},
      {"product", {{2, 3}, {3, 2}}, numbers({{"contracted", {3}}}), "too few axes", {}},
      {"product", {{2, 3}, {2, 3}}, numbers({{"contracted", {1}}}), "do not fit together", {}},
      {"reshape", {{2, 3}}, numbers({{"target", {4}}}), "another number of elements", {}},
      {"reshape",
       {{2, 3}},
       numbers({{"sizes", {0, 4, 0, 6, 0, 0}}}),
       "another number of elements",
       {}},
      {"transpose", {{2, 3}}, numbers({{"order", {0, 0}}}), "names each axis once", {}},
      {"concatenate", {{2, 3}, {2, 3, 1}}, {}, "different numbers of axes", {}},
      {"concatenate", {{2, 3}, {4, 3}}, {}, "differ on one axis only", {}},
      {"constant", {}, numbers({{"dims", {3}}, {"values", {1}}}), "other dims than numbers", {}},
      {"slice", {{2}}, numbers({{"starts", {}}, {"sizes", {}}, {"steps", {}}}), "every axis", {}},
      {"slice",
       {{2}},
       numbers({{"starts", {0, 1, 0, 6, 0, 0}}, {"sizes", {0, 2, 0, 6, 0, 0}}, {"steps", {1}}}),
       "beyond an axis of size 2",
       {}},
      {"take", {{2}, {1}}, numbers({{"axis", {0}}}), "there is no place 7 in", {7}},
      {"take_along", {{2}, {1}}, numbers({{"axis", {0}}}), "there is no place 7 in", {7}},
      {"take_along", {{2, 2}, {1, 1}}, {}, "the other sizes of what they are in", {}},
      {"argsort", {{2}}, numbers({{"count", {3}}}), "size 2 has no 3 largest numbers", {}},
      {"fill", {}, numbers({{"sizes", {0, -1, 0, 6, 0, 0}}}), "a size is negative", {}},
      {"fill", {}, numbers({{"sizes", {6, 0, 0}}}), "lacks a number", {}},
      {"fill",
       {},
       numbers({{"sizes", {0, 1, 0, 0, 0, 0, 5, 0, 0, 6, 0, 0}}}),
       "a size is divided by 0",
       {}},
      {"global_max_pooling_1d", {{2, 0, 3}}, {}, "no maximum over no time steps", {}},
      {"window_pooling_1d", {{2, 3}}, {}, "[batch, steps, channels]", {}},
      {"window_pooling_1d", {{2, 3, 1}}, numbers({{"size", {0}}}), "at least one step", {}},
      {"window_pooling_1d", {{2, 3, 1}}, numbers({{"size", {4}}}), "shorter than the window", {}},
      {"convolution_1d",
       {{2, 3, 3}},
       numbers({{"groups", {2}}, {"filters", {2}}}),
       "multiples of the groups",
       {}},
      {"pad_steps", {{2, 3, 1}}, numbers({{"before", {-4}}}), "shorter than what is cut off", {}},
      {"fold_steps", {{2}}, {}, "no steps along the second axis", {}},
      {"dropout", {{2, 3}}, numbers({{"rate", {2}}}), "between 0 and 1", {}},
      {"dropout",
       {{2, 3}},
       numbers({{"rate", {.5}}, {"noise_shape", {2}}}),
       "as many sizes as the input",
       {}},
      {"dropout",
       {{2, 3}},
       numbers({{"rate", {.5}}, {"noise_shape", {-1, 2}}}),
       "1 or that of the input",
       {}},
      {"dot_attention", {{2, 3}, {2, 3}, {2, 3}}, {}, "wrong numbers of dimensions", {}},
      {"dot_attention", {{2, 3, 4}, {1, 3, 4}, {1, 3, 4}}, {}, "do not fit together", {}},
      {"dot_attention", {{2, 3, 4}, {2, 3, 4}, {2, 3, 5}}, {}, "the same number of features", {}}};
  for (const Wrong &wrong : all) {
    NodeCase c = case_of(wrong);
    c.training = true;
    check_wrong<float>(c, wrong.reason);
    check_wrong<double>(c, wrong.reason);
  }
}

// Masks of other sizes than what they stand for.
void test_masks() {
  const auto masked = [](const Wrong &wrong, std::size_t place, const Dims &dims) {
    NodeCase c = case_of(wrong);
    c.masks.resize(place + 1);
    c.masks[place].given = true;
    c.masks[place].dims = dims;
    c.masks[place].bytes.assign(static_cast<std::size_t>(count(dims)), 1);
    c.makes_mask = c.op == "mask_concatenate";
    check_wrong<float>(c, wrong.reason);
  };
  masked({"global_average_pooling_1d", {{2, 3, 1}}, {}, "the shape [batch, time]", {}}, 0, {2, 2});
  masked({"mask_concatenate", {{2, 3, 1}, {2, 3, 1}}, {}, "without the last axis", {}}, 1, {2, 2});
  masked({"select", {{2}}, {}, "more axes than what it selects from", {}}, 0, {2, 1});
  masked({"batch_normalization", {{2, 3}}, {}, "the first dimensions of its tensor", {}}, 0, {3});
  const std::vector<Dims> heads = {{2, 3, 4}, {2, 5, 4}, {2, 5, 4}};
  masked({"dot_attention", heads, {}, "does not fit the shape", {}}, 0, {2, 4});
  masked({"dot_attention", heads, {}, "a wrong number of dimensions", {}}, 1, {2});
  masked({"dot_attention", heads, {}, "mask has a wrong number of dimensions", {}}, 3, {5});
  masked({"dot_attention", heads, {}, "does not fit the shape of the scores", {}}, 3, {2, 3, 4});
}

void test_sizes() {
  CHECK_THROWS(checked_product(-1, 2), std::length_error);
  CHECK_THROWS(checked_product(std::numeric_limits<Index>::max(), 2), std::length_error);
  CHECK(checked_product(0, 5) == 0 && checked_product(5, 0) == 0);
}

} // namespace

int main() {
  test_shapes_and_options();
  test_masks();
  test_sizes();
  return finish("test_node_errors");
}

// A batch in parts against one in one piece; predictions in pieces against those
// row by row; the same bits for any number of threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "batch.h"
#include "check.h"
#include "predict.h"
#include "random.h"

using namespace attentive;

namespace {

constexpr Index kSamples = 700, kWidth = 128;

// What is run, on samples of these dims, with weights of these sizes.
struct Design {
  ProgramPlan plan;
  Dims sample;
  std::vector<Index> weights;
};

// Two dense layers with dropout between them, and the mask of rows that are not 0.
Design layers() {
  ProgramPlan p;
  p.values = 4;
  p.weights = 4;
  for (int i = 0; i < 3; ++i) {
    ProgramNode node;
    node.op = i == 1 ? "dropout" : "dense";
    node.links.inputs = {i};
    node.links.outputs = {i + 1};
    if (i == 1) {
      node.options.numbers = {{"rate", {.4}}, {"key", {3, 4}}};
    } else {
      node.links.weights = {i, i + 1};
      node.options.numbers["units"] = {i == 0 ? static_cast<double>(kWidth) : 3.0};
    }
    p.nodes.push_back(node);
  }
  ProgramNode mask;
  mask.op = "step_mask";
  mask.links.inputs = {0};
  mask.links.outputs = {p.values++};
  mask.links.mask_outputs = {p.masks++};
  p.nodes.push_back(mask);
  p.inputs = {0};
  p.outputs = {3};
  p.output_masks = {0};
  return {p, {kWidth}, {kWidth * kWidth, kWidth, kWidth * 3, 3}};
}

// Attention with dropout in each of four steps, whose elements are more than the batch's.
Design attention_in_steps() {
  ProgramPlan p;
  p.values = 5;
  p.weights = 2;
  const char *const ops[] = {"dense", "fold_steps", "dot_attention", "fold_steps"};
  for (int i = 0; i < 4; ++i) {
    ProgramNode node;
    node.op = ops[i];
    node.links.inputs = {i};
    node.links.outputs = {i + 1};
    p.nodes.push_back(node);
  }
  p.nodes[0].links.weights = {0, 1};
  p.nodes[0].options.numbers["units"] = {4};
  p.nodes[2].links.inputs = {2, 2, 2};
  p.nodes[2].links.weights = {-1};
  p.nodes[2].links.masks = {-1, -1, -1, -1};
  p.nodes[2].options.numbers = {{"rate", {.5}}, {"key", {3, 4}}, {"use", {1}}};
  p.nodes[3].links.inputs = {3, 0};
  p.nodes[3].options.numbers["back"] = {1};
  p.inputs = {0};
  p.outputs = {4};
  p.output_masks = {-1};
  return {p, {4, 8, 16}, {16 * 4, 4}};
}

template <class T> struct Setting {
  Program<T> program;
  Dataset<T> data;
  std::vector<std::vector<T>> weights;

  explicit Setting(int threads, const Design &design = layers()) : program(design.plan) {
    DatasetColumn<T> column;
    column.dims = design.sample;
    const Index size = count(column.dims);
    column.dims.insert(column.dims.begin(), kSamples);
    column.data = Buffer<T>(kSamples * size);
    fill_normal(1, 1, 0, 1, column.data.data(), column.data.size());
    for (Index row = 0; row < kSamples; row += 7)
      std::fill_n(column.data.data() + row * size, size, T(0));
    data.columns.push_back(std::move(column));
    for (Index numbers : design.weights) {
      weights.emplace_back(static_cast<std::size_t>(numbers));
      fill_normal(2, weights.size(), 0, .1, weights.back().data(), numbers);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Weight<T> &weight = program.run().weights[i];
      weight.data = weights[i].data();
      weight.size = static_cast<Index>(weights[i].size());
      weight.wants_gradient = true;
    }
    program.run().execution.threads = threads;
    program.run().training = true;
  }
};

std::vector<Index> some_rows(Index count) {
  std::vector<Index> rows;
  for (Index i = 0; i < count; ++i)
    rows.push_back(i * 37 % kSamples);
  return rows;
}

// All numbers that a step leaves: outputs, then the gradients of the weights.
template <class T, class Pass>
std::vector<T> gather(Setting<T> &s, Value<T> &out, const Pass &back) {
  std::vector<T> all(out.data.data(), out.data.data() + out.data.size());
  const GradientPlace<T> place = gradient_place<T>(out, out.data.size());
  fill_normal(5, 5, 0, 1, place.data, out.data.size());
  back();
  for (const Weight<T> &weight : s.program.run().weights)
    all.insert(all.end(), weight.gradient.data(), weight.gradient.data() + weight.size);
  return all;
}

template <class T> std::vector<T> in_parts(const Design &design, int threads, Index count) {
  Setting<T> s(threads, design);
  const std::vector<Index> rows = some_rows(count);
  Batch<T> batch(s.program, s.data, rows.data(), count);
  CHECK(batch.parts() > 1);
  batch.forward();
  if (const MaskValue *mask = batch.output_mask(0)) {
    CHECK(mask->dims == Dims{count});
    for (Index i = 0; i < count; ++i)
      CHECK(mask->data[i] == (rows[static_cast<std::size_t>(i)] % 7 != 0));
  }
  batch.begin_backward();
  return gather(s, batch.output(0), [&] { batch.backward(); });
}

template <class T> std::vector<T> in_one(const Design &design, Index count) {
  Setting<T> s(1, design);
  const std::vector<Index> rows = some_rows(count);
  load_rows(s.program, s.data, rows.data(), count);
  s.program.forward();
  s.program.begin_backward();
  return gather(s, s.program.output(0), [&] { s.program.backward(); });
}

void parts(const Design &design) {
  for (Index count : {Index{512}, Index{601}}) {
    const std::vector<double> expected = in_one<double>(design, count);
    const std::vector<double> got = in_parts<double>(design, 2, count);
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      worst = std::max(worst, std::fabs(expected[i] - got[i]));
    CHECK(expected.size() == got.size() && worst < 1e-11);
    Index weights = 0;
    for (Index size : design.weights)
      weights += size;
    CHECK(std::equal(got.begin(), got.end() - weights, expected.begin())); // outputs: bits
    const std::vector<float> one = in_parts<float>(design, 1, count);
    CHECK(in_parts<float>(design, 2, count) == one && in_parts<float>(design, 8, count) == one);
  }
  Setting<float> s(2, design);
  const std::vector<Index> rows = some_rows(4);
  CHECK(Batch<float>(s.program, s.data, rows.data(), 4).parts() == 1);
}

void predictions() {
  std::vector<std::vector<float>> all;
  for (int threads : {1, 2, 8})
    for (Index batch_size : {Index{1}, Index{32}, Index{1000}}) {
      Setting<float> s(threads);
      const std::vector<Prediction<float>> p =
          predict_rows(s.program, s.data, some_rows(kSamples), batch_size);
      CHECK(p.size() == 1 && p[0].dims == (Dims{kSamples, 3}));
      all.emplace_back(p[0].data.data(), p[0].data.data() + p[0].data.size());
      CHECK(all.back() == all.front());
    }
  Setting<float> s(1);
  CHECK(predict_rows(s.program, s.data, {}, 4)[0].dims == (Dims{0, 3})); // of no rows
}

// A program that looks at its whole batch predicts in the batches that are asked for.
void whole_batches() {
  ProgramPlan p;
  p.values = 2;
  ProgramNode node;
  node.op = "function";
  node.links.inputs = {0};
  node.links.outputs = {1};
  auto size = std::make_shared<NodeFunction>(); // of the batch, for each sample
  size->shape = [](const std::vector<Dims> &dims) { return Dims{dims[0][0]}; };
  size->forward = [](const std::vector<Array> &in) {
    const Index batch = in[0].dims[0];
    return Array{{batch}, Buffer<double>(batch, static_cast<double>(batch))};
  };
  node.options.function = size;
  p.nodes = {node};
  p.inputs = {0};
  p.outputs = {1};
  p.output_masks = {-1};
  Setting<double> s(2);
  Program<double> program(p);
  const std::vector<Prediction<double>> sizes = predict_rows(program, s.data, some_rows(5), 3);
  const std::vector<double> expected = {3, 3, 3, 2, 2};
  CHECK(sizes[0].dims == Dims{5} &&
        std::equal(expected.begin(), expected.end(), sizes[0].data.data()));
  size->shape = [](const std::vector<Dims> &) { return Dims(); };
  size->forward = [](const std::vector<Array> &) { return Array{{}, Buffer<double>(1, 0.0)}; };
  CHECK_THROWS(predict_rows(program, s.data, some_rows(4), 4), std::invalid_argument);
  CHECK_THROWS(predict_rows(program, s.data, {}, 4), std::invalid_argument);
}

} // namespace

int main() {
  parts(layers());
  parts(attention_in_steps());
  predictions();
  whole_batches();
  return attentive_test::finish("test_batch");
}

// Optimizers against their formulas and Keras's numbers; a step of training
// against a plain one; what adds up over batches.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "cpu.h"
#include "optimizer.h"
#include "random.h"
#include "training.h"

using namespace attentive;

namespace {

using Vector = std::vector<double>;

bool near(double a, double b, double bound) { return std::fabs(a - b) <= bound; }

// One weight under an optimizer.
struct Optimized {
  OptimizerOptions options;
  Vector w;
  std::vector<Vector> slots;
  double step = 0;

  Optimized(const OptimizerOptions &o, Vector start) : options(o), w(std::move(start)) {
    slots.assign(slot_names(o).size(), Vector(w.size(), 0));
  }
  void update(const Vector &gradient, double rate, bool decayed = true) {
    UpdatedWeight<double> target;
    target.data = w.data();
    target.size = static_cast<Index>(w.size());
    target.decayed = decayed;
    for (Vector &slot : slots)
      target.slots.push_back(slot.data());
    update_weight(options, gradient.data(), ++step, rate, target);
  }
};

OptimizerOptions kind(OptimizerKind k) {
  OptimizerOptions options;
  options.kind = k;
  return options;
}

// w = (1, -2), gradient (.5, -k) at step k = 1, 2, 3, learning rate .1
void known_values() {
  const auto after = [](const OptimizerOptions &options, double a, double b) {
    Optimized o(options, {1, -2});
    for (double k : {1, 2, 3})
      o.update({.5, -k}, .1);
    return near(o.w[0], a, 6e-6) && near(o.w[1], b, 6e-6);
  };
  OptimizerOptions sgd;
  CHECK(after(sgd, .85, -1.4));
  sgd.momentum = .9;
  CHECK(after(sgd, .7195, -1.0490));
  sgd.nesterov = true;
  CHECK(after(sgd, .59755, -.5441));
  OptimizerOptions adam = kind(OptimizerKind::adam);
  CHECK(after(adam, .7, -1.70768));
  adam.weight_decay = .01;
  CHECK(after(adam, .69731, -1.70199));
  CHECK(after(kind(OptimizerKind::rmsprop), .26226, -1.13899));
}

// Twenty steps in plain scalars beside the optimizer.
void formulas() {
  for (int variant = 0; variant < 4; ++variant) {
    OptimizerOptions options = kind(variant < 2 ? OptimizerKind::adam : OptimizerKind::rmsprop);
    options.amsgrad = variant == 1;
    options.centered = variant == 3;
    options.momentum = variant == 2 ? 0 : .8;
    options.weight_decay = .02;
    Optimized o(options, {.7});
    double w = .7, m = 0, v = 0, most = 0, average = 0;
    for (int t = 1; t <= 20; ++t) {
      const double g = std::sin(3.0 * t) / t, rate = .05;
      o.update({g}, rate);
      w -= w * .02 * rate;
      if (variant < 2) {
        m = .9 * m + .1 * g;
        v = .999 * v + .001 * g * g;
        most = std::max(most, v);
        w -= rate * std::sqrt(1 - std::pow(.999, t)) / (1 - std::pow(.9, t)) * m /
             (std::sqrt(variant == 1 ? most : v) + 1e-7);
      } else {
        v = .9 * v + .1 * g * g;
        average = .9 * average + .1 * g;
        const double change =
            rate * g / std::sqrt(variant == 3 ? v - average * average + 1e-7 : v + 1e-7);
        m = .8 * m + change;
        w -= variant == 2 ? change : m;
      }
      CHECK(near(o.w[0], w, 1e-13));
    }
  }
  OptimizerOptions decaying;
  decaying.weight_decay = .5;
  Optimized excluded(decaying, {2});
  excluded.update({0}, .1, false);
  CHECK(excluded.w[0] == 2);
  excluded.update({0}, .1);
  CHECK(near(excluded.w[0], 1.9, 1e-15));
}

// The others of Keras's optimizers, as they stand in their papers.
struct Scalar {
  double w = .7, a = 0, b = 0; // the weight and its slots
  // One step with gradient g and rate r.
  void step(OptimizerKind kind, double g, double r, int t) {
    const double eps = 1e-7, before = a;
    switch (kind) {
    case OptimizerKind::adagrad:
      a += g * g;
      w -= r * g / std::sqrt(a + eps);
      break;
    case OptimizerKind::adadelta: {
      a = .9 * a + .1 * g * g;
      const double change = g * std::sqrt(b + eps) / std::sqrt(a + eps);
      b = .9 * b + .1 * change * change;
      w -= r * change;
      break;
    }
    case OptimizerKind::adamax:
      a = .9 * a + .1 * g;
      b = std::max(.999 * b, std::fabs(g));
      w -= r / (1 - std::pow(.9, t)) * a / (b + eps);
      break;
    case OptimizerKind::nadam: {
      a = .9 * a + .1 * g;
      b = .999 * b + .001 * g * g;
      const auto mu = [](int k) { return .9 * (1 - .5 * std::pow(.96, k)); };
      double product = 1;
      for (int k = 1; k <= t; ++k)
        product *= mu(k);
      const double m = mu(t + 1) * a / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product);
      w -= r * m / (std::sqrt(b / (1 - std::pow(.999, t))) + eps);
      break;
    }
    case OptimizerKind::lion: {
      const double c = .9 * a + .1 * g;
      w -= r * (c > 0 ? 1 : c < 0 ? -1 : 0);
      a = .999 * a + .001 * g;
      break;
    }
    case OptimizerKind::ftrl: { // l1 .02, l2 .03, shrinkage .04, beta .1, power -.7
      a += g * g;
      const double sigma = (std::pow(a, .7) - std::pow(before, .7)) / r;
      b += g + 2 * .04 * w - sigma * w;
      const double z = b > .02 ? .02 - b : b < -.02 ? -.02 - b : 0;
      w = z / (2 * (.03 + .1 / (2 * r)) + std::pow(a, .7) / r);
      break;
    }
    case OptimizerKind::lamb: {
      a = .9 * a + .1 * g;
      b = .999 * b + .001 * g * g;
      const double d = a / (1 - std::pow(.9, t)) / (std::sqrt(b / (1 - std::pow(.999, t))) + eps);
      w -= r * std::fabs(w) / std::fabs(d) * d; // of one number: as long as itself
      break;
    }
    default:
      break;
    }
  }
};

void adaptive_formulas() {
  for (OptimizerKind k :
       {OptimizerKind::adagrad, OptimizerKind::adadelta, OptimizerKind::adamax,
        OptimizerKind::nadam, OptimizerKind::lion, OptimizerKind::ftrl, OptimizerKind::lamb}) {
    OptimizerOptions options = kind(k);
    options.l1 = .02;
    options.l2 = .03;
    options.l2_shrinkage = .04;
    options.beta = .1;
    options.power = -.7;
    Optimized o(options, {.7});
    Scalar scalar;
    for (int t = 1; t <= 20; ++t) {
      const double g = std::sin(3.0 * t) / t;
      o.update({g}, .05);
      scalar.step(k, g, .05, t);
      CHECK(near(o.w[0], scalar.w, 1e-13));
    }
  }
  Optimized unmoved(kind(OptimizerKind::ftrl), {.7}); // its formula divides by the rate
  unmoved.update({1}, 0);
  CHECK(unmoved.w[0] == .7);
  Optimized unknown(kind(OptimizerKind::lion), {.7}); // a direction that is no number
  unknown.update({std::numeric_limits<double>::quiet_NaN()}, .1);
  CHECK(std::isnan(unknown.w[0]));
  Optimized at_zero(kind(OptimizerKind::lamb), {0}); // a length of 0 gives no ratio
  at_zero.update({1}, .1);
  CHECK(near(at_zero.w[0], -.1, 1e-7));
}

std::vector<Weight<double>> gradients(const std::vector<Vector> &all) {
  std::vector<Weight<double>> weights(all.size() + 1); // the last has none
  for (std::size_t i = 0; i < all.size(); ++i) {
    weights[i].size = static_cast<Index>(all[i].size());
    weights[i].has_gradient = true;
    weights[i].gradient = Buffer<double>(weights[i].size);
    std::copy(all[i].begin(), all[i].end(), weights[i].gradient.data());
  }
  return weights;
}

void clipping() {
  OptimizerOptions options;
  std::vector<Weight<double>> w = gradients({{3, 4}, {.3, -.4}});
  options.clipnorm = 1.0;
  clip_gradients(options, w);
  CHECK(near(w[0].gradient[0], .6, 1e-15) && near(w[0].gradient[1], .8, 1e-15));
  CHECK(w[1].gradient[0] == .3 && w[1].gradient[1] == -.4);

  options = OptimizerOptions();
  options.global_clipnorm = 2.0;
  w = gradients({{3, 4}, {0, 12}}); // norm 13
  clip_gradients(options, w);
  CHECK(near(w[0].gradient[1], 4 * 2.0 / 13, 1e-15) && near(w[1].gradient[1], 24.0 / 13, 1e-15));
  w = gradients({{.3, .4}});
  clip_gradients(options, w);
  CHECK(w[0].gradient[0] == .3);
  w = gradients({{std::numeric_limits<double>::infinity(), 1}, {1}});
  clip_gradients(options, w);
  CHECK(std::isnan(w[0].gradient[1]) && std::isnan(w[1].gradient[0]));

  options = OptimizerOptions();
  options.clipvalue = .5;
  w = gradients({{3, -4, .1}});
  clip_gradients(options, w);
  CHECK(w[0].gradient[0] == .5 && w[0].gradient[1] == -.5 && w[0].gradient[2] == .1);
}

// Gradients of three steps make one update, whose mean is clipped; the weights
// are averaged after every step and set to that mean after every second update.
void accumulated_and_averaged() {
  OptimizerOptions options;
  options.accumulation = 3;
  options.clipvalue = .5;
  options.ema_momentum = .8;
  options.ema_overwrite = 2;
  CHECK(slot_names(options) == (std::vector<std::string>{"average", "gradient_accumulator"}));
  Vector w = {1, -2}, mean(2, 0), sum(2, 0);
  std::vector<UpdatedWeight<double>> targets(2);
  targets[0].data = w.data();
  targets[0].size = 2;
  targets[0].slots = {mean.data(), sum.data()};
  Vector expected = w, average(2, 0), total(2, 0);
  for (int step = 1; step <= 6; ++step) {
    const Vector g = {.1 * step, -step * 1.0};
    std::vector<Weight<double>> weights = gradients({g});
    finish_step(options, step, .1, weights, targets);
    const double kept = step <= 3 ? 0 : .8; // before the first update there is nothing to keep
    for (std::size_t i = 0; i < 2; ++i) {
      total[i] += g[i];
      if (step % 3 == 0) {
        expected[i] -= .1 * std::min(std::max(total[i] / 3, -.5), .5);
        total[i] = 0;
      }
      average[i] = kept * average[i] + (1 - kept) * expected[i];
      if ((step - 1) / 3 == 1)
        expected[i] = average[i];
      CHECK(near(w[i], expected[i], 1e-14) && near(mean[i], average[i], 1e-14) &&
            near(sum[i], total[i], 1e-14));
    }
  }
}

// A dense layer [3] -> [2] on ten samples.
struct Setting {
  Program<double> program;
  Dataset<double> data; // x, y, sample weights
  TrainingPlan<double> plan;
  StepColumns columns;
  Vector kernel = Vector(6), bias = Vector(2);

  static ProgramPlan dense() {
    ProgramPlan p;
    p.values = 2;
    p.weights = 2;
    ProgramNode node;
    node.op = "dense";
    node.links.inputs = {0};
    node.links.outputs = {1};
    node.links.weights = {0, 1};
    node.options.numbers["units"] = {2};
    p.nodes = {node};
    p.inputs = {0};
    p.outputs = {1};
    p.output_masks = {-1};
    return p;
  }

  Setting() : program(dense()) {
    const Dims shapes[] = {{10, 3}, {10, 2}, {10}};
    for (const Dims &dims : shapes) {
      DatasetColumn<double> column;
      column.dims = dims;
      column.data = Buffer<double>(count(dims));
      fill_uniform(3, data.columns.size(), .1, 1, column.data.data(), column.data.size());
      data.columns.push_back(std::move(column));
    }
    fill_normal(4, 1, 0, 1, kernel.data(), 6);
    fill_normal(4, 2, 0, 1, bias.data(), 2);
    plan.losses.resize(1);
    plan.losses[0].wanted = true;
    plan.weights.resize(2);
    columns.targets = {1};
    columns.sample_weights = {-1};
  }

  StepResult run(const std::vector<Index> &rows, bool backward) {
    program.run().weights[0].data = kernel.data();
    program.run().weights[0].size = 6;
    program.run().weights[1].data = bias.data();
    program.run().weights[1].size = 2;
    return compute_step(program, plan, data, columns, rows.data(), static_cast<Index>(rows.size()),
                        backward);
  }

  double prediction(Index row, Index unit) const {
    double sum = bias[static_cast<std::size_t>(unit)];
    for (Index j = 0; j < 3; ++j)
      sum += data.columns[0].data[row * 3 + j] * kernel[static_cast<std::size_t>(j * 2 + unit)];
    return sum;
  }
};

void one_step() {
  Setting s;
  s.plan.metrics.resize(2);
  s.plan.metrics[0].options = metric_of_name("mean_absolute_error");
  s.plan.metrics[1].options = s.plan.metrics[0].options;
  s.plan.metrics[1].weighted = true;
  s.plan.losses[0].weight = 3;
  s.columns.sample_weights = {2};
  s.plan.weights[0].penalty = [](const double *w, Index size, double *gradient) {
    double sum = 0;
    for (Index i = 0; i < size; ++i) {
      sum += .1 * w[i] * w[i];
      if (gradient != nullptr)
        gradient[i] = .2 * w[i];
    }
    return sum;
  };
  const std::vector<Index> rows = {7, 0, 3};
  const StepResult result = s.run(rows, true);

  double loss = 0, penalty = 0, error = 0, weighted_error = 0, weights = 0;
  Vector d_kernel(6, 0), d_bias(2, 0);
  for (Index row : rows)
    for (Index unit = 0; unit < 2; ++unit) {
      const double e = s.prediction(row, unit) - s.data.columns[1].data[row * 2 + unit];
      const double w = s.data.columns[2].data[row];
      loss += w * e * e / 6;
      error += std::fabs(e) / 2;
      weighted_error += w * std::fabs(e) / 2;
      weights += w / 2;
      const double d = 3 * 2 * w * e / 6;
      d_bias[static_cast<std::size_t>(unit)] += d;
      for (Index j = 0; j < 3; ++j)
        d_kernel[static_cast<std::size_t>(j * 2 + unit)] += d * s.data.columns[0].data[row * 3 + j];
    }
  for (std::size_t i = 0; i < 6; ++i) {
    penalty += .1 * s.kernel[i] * s.kernel[i];
    d_kernel[i] += .2 * s.kernel[i];
  }
  CHECK(near(result.loss.sum, 3 * (3 * loss + penalty), 1e-12) && result.loss.weight == 3);
  CHECK(near(result.losses[0].sum, 3 * loss, 1e-12));
  CHECK(near(result.metrics[0][0], error, 1e-12) && result.metrics[0][1] == 3);
  CHECK(near(result.metrics[1][0], weighted_error, 1e-12) &&
        near(result.metrics[1][1], weights, 1e-12));
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(near(s.program.run().weights[0].gradient[static_cast<Index>(i)], d_kernel[i], 1e-12));
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(near(s.program.run().weights[1].gradient[static_cast<Index>(i)], d_bias[i], 1e-12));

  // a frozen weight has no gradient and no penalty
  s.plan.weights[0].trainable = false;
  const StepResult frozen = s.run(rows, true);
  CHECK(near(frozen.loss.sum, 9 * loss, 1e-12));
  CHECK(!s.program.run().weights[0].has_gradient && s.program.run().weights[1].has_gradient);
}

void reductions() {
  Setting s;
  s.columns.sample_weights = {2};
  const std::vector<Index> rows = {1, 2};
  const double mean = s.run(rows, false).losses[0].sum / 2;
  s.plan.losses[0].reduction = Reduction::sum;
  CHECK(near(s.run(rows, false).losses[0].sum / 2, 2 * mean, 1e-12));
  s.plan.losses[0].reduction = Reduction::mean_with_sample_weight;
  const double weight = s.data.columns[2].data[1] + s.data.columns[2].data[2];
  CHECK(near(s.run(rows, false).losses[0].sum / 2, 2 * mean / weight, 1e-12));
}

// All rows with one metric, at once and in batches.
struct Measured {
  StepResult whole, parts;
};
Measured measure(Setting &s, const char *metric, Index batch_size) {
  s.plan.metrics.resize(1);
  s.plan.metrics[0].options = metric_of_name(metric);
  const std::vector<Index> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  return {s.run(rows, false), evaluate_rows(s.program, s.plan, s.data, s.columns, rows, batch_size)};
}

void batches() {
  Setting s;
  const auto [whole, parts] = measure(s, "mean_squared_error", 4);
  CHECK(near(whole.loss.sum, parts.loss.sum, 1e-12) && parts.loss.weight == 10);
  CHECK(near(whole.metrics[0][0], parts.metrics[0][0], 1e-12));
  CHECK(near(whole.metrics[0][0], whole.loss.sum, 1e-12));

  const std::vector<Prediction<double>> predicted = predict_rows(s.program, s.data, {9, 3, 5}, 2);
  CHECK(predicted.size() == 1 && predicted[0].dims == (Dims{3, 2}));
  CHECK(near(predicted[0].data[2], s.prediction(3, 0), 1e-14));
}

void functions() {
  Setting s;
  const std::vector<Index> rows = {4, 8, 2};
  const StepResult expected = s.run(rows, true);
  const double gradient = s.program.run().weights[0].gradient[3];
  s.plan.losses[0].hook = [](const Value<double> &p, const DatasetColumn<double> &y, double *values,
                             double *d_p) {
    for (Index n = 0; n < p.dims[0]; ++n) {
      values[n] = 0;
      for (Index j = 0; j < 2; ++j) {
        const double e = p.data[n * 2 + j] - y.data[n * 2 + j];
        values[n] += e * e / 2;
        if (d_p != nullptr)
          d_p[n * 2 + j] = e;
      }
    }
  };
  const StepResult result = s.run(rows, true);
  CHECK(near(result.loss.sum, expected.loss.sum, 1e-12));
  CHECK(near(s.program.run().weights[0].gradient[3], gradient, 1e-12));
}

// A program of truth and prediction: the squares of their difference.
ProgramPlan squares() {
  ProgramPlan p;
  p.values = 4;
  p.nodes.resize(2);
  p.nodes[0].op = "binary";
  p.nodes[0].options.texts["operation"] = "subtract";
  p.nodes[0].links.inputs = {0, 1};
  p.nodes[0].links.outputs = {2};
  p.nodes[1].op = "unary";
  p.nodes[1].options.texts["operation"] = "square";
  p.nodes[1].links.inputs = {2};
  p.nodes[1].links.outputs = {3};
  p.inputs = {0, 1};
  p.outputs = {3};
  p.output_masks = {-1};
  return p;
}

void programs() {
  Setting s;
  const std::vector<Index> rows = {4, 8, 2};
  s.plan.metrics.resize(2);
  s.plan.metrics[0].options = metric_of_name("mean_squared_error");
  s.plan.metrics[1] = s.plan.metrics[0];
  const StepResult expected = s.run(rows, true);
  const double gradient = s.program.run().weights[0].gradient[3];
  s.plan.losses[0].custom = values_of_program<double>(squares(), {2}, {2});
  s.plan.metrics[1].custom = values_of_program<double>(squares(), {2}, {2});
  CHECK(s.plan.losses[0].custom && !s.plan.metrics[0].custom);
  const StepResult result = s.run(rows, true);
  CHECK(near(result.loss.sum, expected.loss.sum, 1e-12));
  CHECK(near(result.metrics[1][0] / result.metrics[1][1],
             expected.metrics[0][0] / expected.metrics[0][1], 1e-12));
  CHECK(near(s.program.run().weights[0].gradient[3], gradient, 1e-12));
  // sizes that are not those of the program
  s.plan.losses[0].custom = values_of_program<double>(squares(), {3}, {3});
  CHECK_THROWS(s.run(rows, true), std::invalid_argument);
}

// One value for the whole batch counts as often as the batch has samples.
void one_value_for_all() {
  Setting s;
  const std::vector<Index> rows = {4, 8, 2};
  s.plan.metrics.resize(1);
  s.plan.metrics[0].custom.values = [](const DatasetColumn<double> &, const Value<double> &p,
                                       const Execution &) {
    Array values{{}, Buffer<double>(1)};
    values.data[0] = p.data[0];
    return values;
  };
  s.plan.losses[0].custom = s.plan.metrics[0].custom;
  const StepResult result = s.run(rows, false);
  const double first = s.prediction(4, 0);
  CHECK(near(result.metrics[0][0] / result.metrics[0][1], first, 1e-14));
  CHECK(near(result.loss.sum / result.loss.weight, first, 1e-14));
  CHECK_THROWS(s.run(rows, true), std::invalid_argument); // it has no gradient
}

// Labels that are ignored count neither in the sum nor in the number of samples.
void ignored_labels() {
  Setting s;
  DatasetColumn<double> &labels = s.data.columns[2];
  for (Index i = 0; i < 10; ++i)
    labels.data[i] = static_cast<double>(i % 3 == 0 ? 7 : i % 2);
  s.columns.targets = {2};
  s.plan.losses[0].options.kind = LossKind::sparse_categorical_crossentropy;
  s.plan.losses[0].options.from_logits = true;
  s.plan.losses[0].options.ignore_class = 7;
  const std::vector<Index> rows = {0, 1, 2, 3, 4};
  const StepResult result = s.run(rows, true);
  double sum = 0;
  for (Index row : {1, 2, 4}) {
    const double a = std::exp(s.prediction(row, 0)), b = std::exp(s.prediction(row, 1));
    sum -= std::log((labels.data[row] == 0 ? a : b) / (a + b));
  }
  CHECK(near(result.loss.sum / result.loss.weight, sum / 3, 1e-13));
}

// Metrics that are no mean bring their sums, which add up over batches.
void metrics_by_sums() {
  Setting s;
  const auto [whole, parts] = measure(s, "regression", 3);
  double error = 0;
  for (Index row = 0; row < 10; ++row)
    error += std::pow(s.prediction(row, 1) - s.data.columns[1].data[row * 2 + 1], 2);
  CHECK(whole.metrics[0].size() == 9 && near(whole.metrics[0][5], error, 1e-12));
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(near(parts.metrics[0][i], whole.metrics[0][i], 1e-12));
}

void wrong_shapes() {
  Setting s;
  s.columns.targets = {2};
  CHECK_THROWS(s.run({1}, false), std::invalid_argument);
  s.columns.targets = {-1};
  CHECK_THROWS(s.run({1}, false), std::invalid_argument);
}

void not_finite() {
  Setting s;
  s.data.columns[1].data[2] = std::numeric_limits<double>::quiet_NaN();
  CHECK(!s.run({1}, true).finite);
  CHECK(s.run({2}, true).finite);
}

} // namespace

int main() {
  for (Level level : available_levels()) {
    set_level(level_name(level));
    known_values();
    formulas();
    adaptive_formulas();
  }
  clipping();
  accumulated_and_averaged();
  one_step();
  reductions();
  batches();
  functions();
  programs();
  one_value_for_all();
  ignored_labels();
  metrics_by_sums();
  wrong_shapes();
  not_finite();
  return attentive_test::finish("test_training");
}

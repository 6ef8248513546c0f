// Losses and metrics: Keras's own numbers, gradients by differences, positions
// that do not count, threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "losses.h"
#include "metrics.h"
#include "position_weights.h"
#include "random.h"

using namespace attentive;

namespace {

bool near(double a, double b, double bound) { return std::fabs(a - b) <= bound; }

struct Case {
  LossOptions options;
  std::vector<double> y, p, weights;
  Index width = 3;

  Index positions() const { return static_cast<Index>(weights.size()); }
};

template <class T>
std::vector<double> values(const Case &c, std::vector<T> *gradient = nullptr, double scale = 1,
                           int threads = 1) {
  const std::vector<T> y(c.y.begin(), c.y.end()), p(c.p.begin(), c.p.end());
  std::vector<double> result(c.weights.size());
  LossTask<T> task;
  task.target = y.data();
  task.prediction = p.data();
  task.positions = c.positions();
  task.width = c.width;
  task.weights = c.weights.data();
  task.values = result.data();
  task.scale = scale;
  if (gradient != nullptr) {
    gradient->assign(p.size(), T(7)); // must be overwritten
    task.d_prediction = {gradient->data(), false};
  }
  Execution execution;
  execution.threads = threads;
  loss_values(c.options, task, execution);
  return result;
}

double mean(const std::vector<double> &x) {
  double sum = 0;
  for (double value : x)
    sum += value;
  return sum / static_cast<double>(x.size());
}

LossOptions loss(const std::string &name, bool from_logits = false, double smoothing = 0) {
  LossOptions options;
  options.kind = loss_kind(name).value();
  options.from_logits = from_logits;
  options.label_smoothing = smoothing;
  return options;
}

void known_values() {
  const auto is = [](const LossOptions &options, double expected) {
    Case c{options, {0, 1, 0, 1, 0, 0}, {.2, .5, .3, 0, .1, .9}, {1, 1}, 3};
    if (has_labels(options.kind))
      c.y = {1, 0};
    return near(mean(values<double>(c)), expected, 6e-6) &&
           near(mean(values<float>(c)), expected, 1e-4);
  };
  CHECK(is(loss("mean_squared_error"), .366667));
  CHECK(is(loss("mean_absolute_error"), .5));
  CHECK(is(loss("huber"), .183333));
  CHECK(is(loss("categorical_crossentropy"), 8.40562));
  CHECK(is(loss("categorical_crossentropy", true), 1.22910));
  CHECK(is(loss("categorical_crossentropy", false, .1), 7.93227));
  CHECK(is(loss("binary_crossentropy"), 3.29983));
  CHECK(is(loss("binary_crossentropy", true), .80088));
  CHECK(is(loss("sparse_categorical_crossentropy"), 8.40562));
  CHECK(is(loss("sparse_categorical_crossentropy", true), 1.22910));
  CHECK(!loss_kind("no_loss").has_value());
}

// All losses on numbers where they are smooth.
std::vector<Case> smooth_cases() {
  std::vector<Case> cases;
  const Index positions = 5, width = 4;
  const auto add = [&](const LossOptions &options, double low, double high) {
    Case c{options, {}, {}, {1, .5, 0, 2, 1}, width};
    c.p.resize(static_cast<std::size_t>(positions * width));
    fill_uniform(3, cases.size(), low, high, c.p.data(), positions * width);
    c.y.resize(c.p.size());
    fill_uniform(5, cases.size(), .1, .9, c.y.data(), positions * width);
    cases.push_back(c);
  };
  for (const char *name :
       {"mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "log_cosh",
        "cosine_similarity", "categorical_hinge"})
    add(loss(name), -2, 2);
  for (const char *name : {"mean_squared_logarithmic_error", "poisson", "kl_divergence"})
    add(loss(name), .1, .9);
  for (double smoothing : {0.0, .3}) {
    add(loss("binary_crossentropy", false, smoothing), .1, .9);
    add(loss("binary_crossentropy", true, smoothing), -3, 3);
    add(loss("categorical_crossentropy", false, smoothing), .1, .9);
    add(loss("categorical_crossentropy", true, smoothing), -3, 3);
  }
  for (bool from_logits : {false, true}) {
    add(loss("sparse_categorical_crossentropy", from_logits), .1, .9);
    cases.back().y = {3, 0, 99, 1, 2}; // the third does not count
  }
  for (const char *name : {"hinge", "squared_hinge"})
    for (double low : {0.0, -1.0}) {
      add(loss(name), -3, 3);
      for (double &y : cases.back().y)
        y = y > .5 ? 1 : low;
    }
  for (bool logits : {false, true})
    for (double gamma : {2.0, 0.0, 1.5}) {
      LossOptions focal = loss("binary_focal_crossentropy", logits, gamma == 2 ? .2 : 0);
      focal.gamma = gamma;
      focal.balanced = gamma != 2;
      focal.alpha = {.3};
      add(focal, logits ? -3 : .1, logits ? 3 : .9);
      focal.kind = LossKind::categorical_focal_crossentropy;
      if (gamma != 2)
        focal.alpha = {.3, .1, .5, .7};
      add(focal, logits ? -3 : .1, logits ? 3 : .9);
    }
  LossOptions huber = loss("huber");
  huber.delta = .7;
  add(huber, -2, 2);
  return cases;
}

double weighted(const Case &c) {
  const std::vector<double> v = values<double>(c);
  double sum = 0;
  for (std::size_t n = 0; n < v.size(); ++n)
    sum += c.weights[n] * v[n];
  return sum;
}

void gradients() {
  for (const Case &original : smooth_cases()) {
    Case c = original;
    std::vector<double> gradient;
    const std::vector<double> at = values(c, &gradient, 1.7);
    CHECK(at == values<double>(c)); // the same values with and without
    double worst = 0;
    for (std::size_t i = 0; i < c.p.size(); ++i) {
      const double step = 1e-6, here = c.p[i];
      c.p[i] = here + step;
      const double above = weighted(c);
      c.p[i] = here - step;
      const double below = weighted(c);
      c.p[i] = here;
      const double difference = std::fabs(gradient[i] - 1.7 * (above - below) / (2 * step));
      worst = std::max(worst, difference / (1 + std::fabs(gradient[i])));
    }
    CHECK(worst < 1e-7);
    // float, and adding to what is there
    std::vector<float> single;
    values(c, &single, 1.7);
    for (std::size_t i = 0; i < single.size(); ++i)
      CHECK(near(static_cast<double>(single[i]), gradient[i], 1e-4 * (1 + std::fabs(gradient[i]))));
  }
}

void unseen_positions() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (Case c : smooth_cases()) {
    const std::vector<double> before = values<double>(c);
    for (Index j = 0; j < c.width; ++j)
      c.p[static_cast<std::size_t>(2 * c.width + j)] = nan;
    std::vector<double> gradient;
    CHECK(values(c, &gradient) == before);
    CHECK(before[2] == 0);
    for (Index j = 0; j < c.width; ++j)
      CHECK(gradient[static_cast<std::size_t>(2 * c.width + j)] == 0);
  }
  // a NaN that counts is seen
  Case c{loss("mean_squared_error"), {0, 0, 0}, {nan, 1, 2}, {1}, 3};
  CHECK(std::isnan(values<double>(c)[0]));
}

void accumulation() {
  const Case c = smooth_cases().front();
  std::vector<double> once, result(c.weights.size());
  values(c, &once);
  std::vector<double> twice = once;
  LossTask<double> task;
  task.target = c.y.data();
  task.prediction = c.p.data();
  task.positions = c.positions();
  task.width = c.width;
  task.weights = c.weights.data();
  task.values = result.data();
  task.d_prediction = {twice.data(), true};
  loss_values(c.options, task, Execution());
  for (std::size_t i = 0; i < once.size(); ++i)
    CHECK(twice[i] == 2 * once[i]);
}

void labels() {
  for (double label : {-1.0, 3.0, .5, std::numeric_limits<double>::quiet_NaN()}) {
    Case c{loss("sparse_categorical_crossentropy"), {label}, {.2, .3, .5}, {1}, 3};
    CHECK_THROWS(values<double>(c), std::invalid_argument);
    CHECK_THROWS(values<float>(c), std::invalid_argument);
  }
  Case focal{loss("categorical_focal_crossentropy"), {0, 1, 0}, {.2, .3, .5}, {1}, 3};
  focal.options.alpha = {.1, .2};
  CHECK_THROWS(values<double>(focal), std::invalid_argument); // two numbers for three classes
  // far logits do not overflow
  Case c{loss("sparse_categorical_crossentropy", true), {0}, {1e4, -1e4, 0}, {1}, 3};
  CHECK(values<double>(c)[0] == 0 && values<float>(c)[0] == 0);
  c.y = {1};
  CHECK(values<double>(c)[0] == 2e4);
  // and where they are far from 0 all together, their softmax has a sum of 1
  for (const char *name : {"sparse_categorical_crossentropy", "categorical_crossentropy"}) {
    Case far{loss(name, true), {1, 0, 0}, {1e5, 1e5 + .5, 1e5 - 1}, {1}, 3};
    std::vector<float> d;
    values(far, &d);
    CHECK(near(static_cast<double>(d[0] + d[1] + d[2]), 0, 2e-7));
  }
}

// Positions without a class have nothing to lose; a label is none of theirs.
void no_classes() {
  for (const char *name : {"categorical_crossentropy", "categorical_focal_crossentropy"})
    for (bool from_logits : {false, true}) {
      std::vector<double> d;
      CHECK(values(Case{loss(name, from_logits), {}, {}, {1, 1}, 0}, &d) ==
            (std::vector<double>{0, 0}));
    }
  for (bool from_logits : {false, true})
    CHECK_THROWS(
        values<double>(Case{loss("sparse_categorical_crossentropy", from_logits), {0}, {}, {1}, 0}),
        std::invalid_argument);
}

// Where a probability is clipped its gradient is 0, not infinite.
void clipped() {
  const auto gradient = [](const std::string &name, const std::vector<double> &y,
                           const std::vector<double> &p) {
    Case c{loss(name), y, p, {1}, static_cast<Index>(p.size())};
    std::vector<double> d;
    values(c, &d);
    return d;
  };
  CHECK(gradient("binary_crossentropy", {1, 0}, {0, 1}) == (std::vector<double>{0, 0}));
  CHECK(gradient("sparse_categorical_crossentropy", {0}, {0, 1}) == (std::vector<double>{0, 0}));
  CHECK(gradient("categorical_crossentropy", {1, 0}, {0, 1}) == (std::vector<double>{0, 0}));
}

void threads() {
  Case c{loss("categorical_crossentropy", true), {}, {}, {}, 100};
  c.weights.assign(1000, 1);
  c.p.resize(100000);
  c.y.resize(100000);
  fill_normal(1, 2, 0, 1, c.p.data(), 100000);
  fill_uniform(1, 3, 0, 1, c.y.data(), 100000);
  std::vector<float> one, two, eight;
  const std::vector<double> expected = values(c, &one);
  CHECK(values(c, &two, 1, 2) == expected && values(c, &eight, 1, 8) == expected);
  CHECK(one == two && one == eight);
}

std::vector<double> metric(const std::string &name, const std::vector<double> &y,
                           const std::vector<double> &p, Index width, Index k = 5) {
  MetricOptions options = metric_of_name(name);
  options.k = k;
  std::vector<double> weights(p.size() / static_cast<std::size_t>(width), 1),
      result(weights.size());
  LossTask<double> task;
  task.target = y.data();
  task.prediction = p.data();
  task.positions = static_cast<Index>(weights.size());
  task.width = width;
  task.weights = weights.data();
  task.values = result.data();
  metric_values(options, task, Execution());
  return result;
}

void metrics() {
  using V = std::vector<double>;
  CHECK(metric("accuracy", {1, 2, 3, 4}, {1, 2, 0, 4}, 2) == (V{1, .5}));
  CHECK(metric("binary_accuracy", {1, 0, 1, 1}, {.6, .5, .5, .9}, 1) == (V{1, 1, 0, 1}));
  CHECK(metric("categorical_accuracy", {0, 0, 1, 0, 1, 0}, {.1, .9, .8, .05, .95, 0}, 3) ==
        (V{0, 1}));
  CHECK(metric("sparse_categorical_accuracy", {2, 1}, {.1, .6, .3, .05, .95, 0}, 3) == (V{0, 1}));
  CHECK(metric("sparse_top_k_categorical_accuracy", {2, 1}, {.1, .9, .8, .05, .95, 0}, 3, 1) ==
        (V{0, 1}));
  CHECK(metric("sparse_top_k_categorical_accuracy", {2, 9}, {.1, .9, .8, .05, .95, 0}, 3, 2) ==
        (V{1, 0}));
  CHECK(metric("top_k_categorical_accuracy", {0, 0, 1, 0, 1, 0}, {.1, .9, .8, .05, .95, 0}, 3, 2) ==
        (V{1, 1}));
  CHECK(metric("mean_squared_error", {0, 0}, {1, 3}, 2) == (V{5}));
  CHECK(near(metric("cosine_proximity", {3, 4}, {4, 3}, 2)[0], .96, 1e-7));
  CHECK_THROWS(metric("nothing", {}, {}, 1), std::invalid_argument);
}

void weights() {
  MaskValue mask;
  mask.dims = {2, 3};
  mask.data = Buffer<std::uint8_t>(6, 1);
  mask.data[2] = mask.data[4] = mask.data[5] = 0;
  DatasetColumn<double> sample;
  sample.dims = {4, 1};
  sample.data = Buffer<double>(4);
  for (Index i = 0; i < 4; ++i)
    sample.data[i] = 10.0 * static_cast<double>(i);
  const Index rows[] = {3, 1};
  WeightSource<double> source;
  source.mask = &mask;
  source.rows = rows;
  PositionWeights w = position_weights(Dims{2, 3}, source);
  CHECK(w.masked && w.kept == .5);
  CHECK(w.numbers[0] == 1 && w.numbers[2] == 0 && w.numbers[3] == 1 && w.numbers[5] == 0);
  source.sample_weight = &sample;
  w = position_weights(Dims{2, 3}, source);
  CHECK(w.kept == .5 && w.numbers[1] == 30 && w.numbers[2] == 0 && w.numbers[3] == 10);
  const double labels[] = {0, 1, 2, 1, 0, 0};
  source.labels = labels;
  source.ignore = 1;
  w = position_weights(Dims{2, 3}, source);
  CHECK(near(w.kept, 1.0 / 6, 1e-15) && w.numbers[0] == 30 && w.numbers[1] == 0);
  // a mask of samples serves all their positions
  mask.dims = {2};
  mask.data = Buffer<std::uint8_t>(2, 1);
  mask.data[1] = 0;
  WeightSource<double> of_samples;
  of_samples.mask = &mask;
  w = position_weights(Dims{2, 3}, of_samples);
  CHECK(w.numbers[2] == 1 && w.numbers[3] == 0 && w.kept == .5);
  mask.dims = {2, 5};
  mask.data = Buffer<std::uint8_t>(10, 1);
  CHECK_THROWS(position_weights(Dims{2, 3}, of_samples), std::invalid_argument);
}

} // namespace

int main() {
  known_values();
  gradients();
  unseen_positions();
  accumulation();
  labels();
  no_classes();
  clipped();
  threads();
  metrics();
  weights();
  return attentive_test::finish("test_losses");
}

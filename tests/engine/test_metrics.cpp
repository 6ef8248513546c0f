// Metrics that are no mean of values: the sums that they are computed from, by
// hand and against plain loops; a batch in two parts adds up to the whole.
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "metrics.h"
#include "random.h"

using namespace attentive;

namespace {

using Numbers = std::vector<double>;

struct Batch {
  Numbers y, p, weights;
  Index width = 1;
};

// The sums of the positions from `first` on, added to those that are there.
template <class T>
void add_sums(const MetricOptions &options, const Batch &batch, std::size_t first, std::size_t end,
              Numbers &sums) {
  const std::vector<T> y(batch.y.begin(), batch.y.end()), p(batch.p.begin(), batch.p.end());
  const std::size_t start = first * static_cast<std::size_t>(batch.width);
  LossTask<T> task;
  task.target = y.data() + start;
  task.prediction = p.data() + start;
  task.positions = static_cast<Index>(end - first);
  task.width = batch.width;
  task.weights = batch.weights.data() + first;
  metric_sums(options, task, sums);
}

template <class T> Numbers sums_of(const MetricOptions &options, const Batch &batch) {
  Numbers whole, parts;
  const std::size_t size = batch.weights.size();
  add_sums<T>(options, batch, 0, size, whole);
  add_sums<T>(options, batch, 0, size / 2, parts);
  add_sums<T>(options, batch, size / 2, size, parts);
  bool same = whole.size() == parts.size();
  for (std::size_t i = 0; i < whole.size() && same; ++i)
    same = std::fabs(whole[i] - parts[i]) <= 1e-12 * (1 + std::fabs(whole[i]));
  CHECK(same);
  return whole;
}

void test_histogram() {
  MetricOptions options = metric_of_name("histogram");
  CHECK(!is_mean(options) && is_mean(metric_of_name("accuracy")));
  options.thresholds = {.25, .5};
  // on a threshold is not above it; what weighs nothing is not looked at
  Batch batch = {{1, 0, 1, 1, 0, 1}, {.1, .3, .9, .5, .7, NAN}, {1, 2, 4, 8, 16, 0}, 1};
  CHECK(sums_of<double>(options, batch) == (Numbers{1, 8, 4, 0, 2, 16}));
  CHECK(sums_of<float>(options, batch) == (Numbers{1, 8, 4, 0, 2, 16}));

  // a truth of .75 is three quarters a yes, or a yes
  batch = {{.75, 0}, {.3, .9}, {4, 1}, 1};
  CHECK(sums_of<double>(options, batch) == (Numbers{0, 4, 0, 0, 0, 1}));
  options.soft = true;
  CHECK(sums_of<double>(options, batch) == (Numbers{0, 3, 0, 0, 1, 1}));
  options.soft = false;

  // columns together, one of them, each by itself
  batch = {{1, 0, 1, 0, 1, 0}, {.9, .3, .4, .6, .1, .1}, {1, 1}, 3};
  CHECK(sums_of<double>(options, batch) == (Numbers{1, 1, 1, 1, 1, 1}));
  options.class_id = 1;
  CHECK(sums_of<double>(options, batch) == (Numbers{1, 0, 0, 0, 1, 0}));
  for (Index outside : {Index{-1}, batch.width}) {
    options.class_id = outside;
    CHECK_THROWS(sums_of<double>(options, batch), std::invalid_argument);
  }
  options.class_id.reset();
  options.by_label = true;
  CHECK(sums_of<double>(options, batch) ==
        (Numbers{0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0}));
}

// Only the k largest can be a yes; the others are below all thresholds.
void test_top() {
  MetricOptions options = metric_of_name("histogram");
  options.thresholds = {.5};
  options.top_k = 1;
  Batch batch = {{1, 1, 0}, {.8, .8, .9}, {1}, 3};
  CHECK(sums_of<double>(options, batch) == (Numbers{2, 0, 0, 1}));
  options.top_k = 2; // of equal ones the first
  CHECK(sums_of<double>(options, batch) == (Numbers{1, 1, 0, 1}));
  options.top_k = 9;
  CHECK(sums_of<double>(options, batch) == (Numbers{0, 2, 0, 1}));
  // what is no number is the last
  options.top_k = 2;
  batch.p = {NAN, .6, .1};
  CHECK(sums_of<float>(options, batch) == (Numbers{1, 1, 1, 0}));
}

// Hits, false alarms, misses and truths of each class.
void test_class_counts() {
  MetricOptions options = metric_of_name("class_counts");
  const Batch batch = {{1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0},
                       {.7, .2, .1, .6, .3, .1, .4, .2, .4, NAN, NAN, NAN},
                       {1, 2, 4, 0},
                       3};
  // the largest of each, both of the third
  CHECK(sums_of<double>(options, batch) == (Numbers{1, 0, 4, 6, 0, 0, 0, 2, 0, 1, 2, 4}));
  options.thresholds = {.25};
  CHECK(sums_of<float>(options, batch) == (Numbers{1, 2, 4, 6, 0, 0, 0, 0, 0, 1, 2, 4}));
  // where all are 0 none is chosen
  options.thresholds.clear();
  CHECK(sums_of<double>(options, {{1, 0}, {0, 0}, {1}, 2}) == (Numbers{0, 0, 0, 0, 1, 0, 1, 0}));
}

// Positions without a column have no hits, and no largest prediction to be read.
void test_no_columns() {
  const Batch batch = {{}, {}, {1, 1}, 0};
  for (const char *name : {"histogram", "class_counts", "regression"})
    for (double sum : sums_of<double>(metric_of_name(name), batch))
      CHECK(sum == 0);
}

void test_regression() {
  const MetricOptions options = metric_of_name("regression");
  Batch batch;
  batch.width = 3;
  const Index rows = 7;
  batch.y.resize(21);
  batch.p.resize(21);
  batch.weights.resize(7);
  fill_normal(1, 1, 0, 1, batch.y.data(), 21);
  fill_normal(1, 2, 0, 1, batch.p.data(), 21);
  fill_uniform(1, 3, .1, 2, batch.weights.data(), 7);
  Numbers expected(13, 0);
  for (std::size_t n = 0; n < 7; ++n)
    for (std::size_t j = 0; j < 3; ++j) {
      const double y = batch.y[n * 3 + j], error = y - batch.p[n * 3 + j], w = batch.weights[n];
      expected[j] += w * y;
      expected[3 + j] += w * y * y;
      expected[6 + j] += w * error * error;
      expected[9 + j] += w;
    }
  expected[12] = static_cast<double>(rows * batch.width);
  const Numbers sums = sums_of<double>(options, batch), single = sums_of<float>(options, batch);
  for (std::size_t i = 0; i < sums.size(); ++i)
    CHECK(std::fabs(sums[i] - expected[i]) < 1e-13 && std::fabs(single[i] - expected[i]) < 1e-5);
  // a masked row counts among the elements, and nowhere else
  batch.p[0] = std::numeric_limits<double>::quiet_NaN();
  batch.weights[0] = 0;
  const Numbers masked = sums_of<double>(options, batch);
  CHECK(masked[6] == masked[6] && masked[12] == 21);
}

} // namespace

int main() {
  test_histogram();
  test_top();
  test_class_counts();
  test_no_columns();
  test_regression();
  return attentive_test::finish("test_metrics");
}

// Time of a training step's attention: the node of a program, forward and
// backward, and the parts that it is made of:
//   attention_node [threads] [batch] [tokens] [width] [heads] [dropout]. See bench/README.md.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "multi_head_attention.h"
#include "program.h"
#include "random.h"

using namespace attentive;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Body> double best_microseconds(Body body) {
  double best = 1e9;
  const double end = seconds() + 0.5;
  do {
    const double start = seconds();
    body();
    best = std::min(best, seconds() - start);
  } while (seconds() < end);
  return 1e6 * best;
}

Buffer<float> numbers(Index size, std::uint64_t stream) {
  Buffer<float> x(size);
  fill_uniform(1, stream, -0.3, 0.3, x.data(), size);
  return x;
}

ProgramPlan plan_of(Index width, Index heads, double dropout) {
  ProgramPlan plan;
  plan.values = 2;
  plan.weights = 8;
  plan.inputs = {0};
  plan.outputs = {1};
  ProgramNode node;
  node.op = "multi_head_attention";
  node.links.inputs = {0, 0, 0};
  node.links.outputs = {1};
  node.links.weights = {0, 1, 2, 3, -1, -1, 4, 5, 6, 7};
  node.options.numbers["heads"] = {static_cast<double>(heads)};
  node.options.numbers["key_size"] = {static_cast<double>(width / heads)};
  node.options.numbers["rate"] = {dropout};
  node.options.numbers["key"] = {1, 2};
  plan.nodes.push_back(node);
  return plan;
}

} // namespace

int main(int count, char **arguments) {
  const auto number = [&](int i, double otherwise) {
    return count > i ? std::atof(arguments[i]) : otherwise;
  };
  const Execution execution{static_cast<int>(number(1, 2)), nullptr};
  const auto batch = static_cast<Index>(number(2, 32)), tokens = static_cast<Index>(number(3, 32)),
             width = static_cast<Index>(number(4, 32)), heads = static_cast<Index>(number(5, 2));
  Program<float> program(plan_of(width, heads, number(6, 0)));
  program.prepare({{batch, tokens, width}});
  Run<float> &run = program.run();
  run.execution = execution;
  run.training = true;
  Buffer<float> weights[8];
  for (std::size_t i = 0; i < 8; ++i) {
    weights[i] = numbers(i % 2 == 0 ? width * width : width, i);
    run.weights[i].data = weights[i].data();
    run.weights[i].size = weights[i].size();
    run.weights[i].wants_gradient = true;
  }
  const Index rows = batch * tokens, size = rows * width;
  const Buffer<float> x = numbers(size, 50), d_y = numbers(size, 51);
  std::copy_n(x.data(), size, run.values[0].data.data());
  const double forward = best_microseconds([&] { program.forward(); });
  const double both = best_microseconds([&] {
    program.forward();
    program.begin_backward();
    run.values[0].wants_gradient = true;
    const GradientPlace<float> place = gradient_place<float>(run.values[1], size);
    std::copy_n(d_y.data(), size, place.data);
    program.backward();
  });
  const double flops = 3.0 * (8.0 * static_cast<double>(size) * static_cast<double>(width) +
                              4.0 * static_cast<double>(size) * static_cast<double>(tokens));
  std::printf("%td x %td x %td, %td heads, %d threads: forward %.0f us, forward and backward "
              "%.0f us, %.1f GFLOP/s\n",
              batch, tokens, width, heads, execution.threads, forward, both, flops / both / 1e3);

  Buffer<float> y(size), d_x(size), d_kernel(width * width), d_bias(width), lse(rows * heads);
  Buffer<float> wide(size * 3), wide_kernel = numbers(3 * width * width, 60), wide_bias(3 * width);
  const Dense<const float> dense{weights[0].data(), weights[1].data()};
  const Dense<const float> three{wide_kernel.data(), wide_bias.data()};
  std::fill_n(wide_bias.data(), 3 * width, 0.1F);
  std::fill_n(wide.data(), 3 * size, 0.1F);
  const auto part = [&](const char *name, const std::function<void()> &body) {
    std::printf("  %-28s %7.1f us\n", name, best_microseconds(body));
  };
  part("projection", [&] {
    projection_forward<float>(x.data(), dense, rows, width, width, y.data(), execution);
  });
  part("three projections as one", [&] {
    projection_forward<float>(x.data(), three, rows, width, 3 * width, wide.data(), execution);
  });
  part("gradient of weights", [&] {
    projection_backward_weights<float>(x.data(), d_y.data(), rows, width, width,
                                       {d_kernel.data(), d_bias.data()}, execution);
  });
  part("gradient of kernel", [&] {
    projection_backward_weights<float>(x.data(), d_y.data(), rows, width, width,
                                       {d_kernel.data(), nullptr}, execution);
  });
  Buffer<float> d_three(3 * width * width), d_three_bias(3 * width);
  part("gradient of three weights", [&] {
    projection_backward_weights<float>(x.data(), wide.data(), rows, width, 3 * width,
                                       {d_three.data(), d_three_bias.data()}, execution);
  });
  part("gradient of input", [&] {
    projection_backward_input<float>(d_y.data(), dense, rows, width, width, false, d_x.data(),
                                     execution);
  });
  part("gradient of input of three", [&] {
    projection_backward_input<float>(wide.data(), three, rows, width, 3 * width, false, d_x.data(),
                                     execution);
  });
  const AttentionShape shape{batch, 1, tokens, tokens, heads, heads, width / heads, width / heads};
  const HeadView<const float> in{x.data(), tokens * width, width, width / heads};
  const HeadView<float> out{y.data(), tokens * width, width, width / heads};
  AttentionOptions options;
  options.scale = 0.2;
  options.mask.queries = options.mask.keys = tokens;
  options.dropout.rate = number(6, 0);
  part("core", [&] {
    attention_forward<float>(shape, in, in, in, options, out, lse.data(), execution);
  });
  Buffer<float> d_k(size), d_v(size);
  const HeadView<const float> d_out{d_y.data(), tokens * width, width, width / heads};
  part("gradient of core", [&] {
    attention_backward<float>(shape, in, in, in, options,
                              {y.data(), tokens * width, width, width / heads}, lse.data(), d_out,
                              nullptr, {d_x.data(), tokens * width, width, width / heads},
                              {d_k.data(), tokens * width, width, width / heads},
                              {d_v.data(), tokens * width, width, width / heads}, execution);
  });
  part("empty parallel_for", [&] { parallel_for(8, execution, [](Index, int) {}); });
}

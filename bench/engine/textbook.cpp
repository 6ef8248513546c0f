// Time of the textbook in single precision, on one thread, without R:
//   textbook (core|layer) B L heads size (dense|causal)
// prints milliseconds. See bench/README.md.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "multi_head_attention_naive.h"

using namespace attentive;

namespace {

std::vector<float> random_numbers(Index size) {
  static std::mt19937 stream(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> x(static_cast<std::size_t>(size));
  for (float &v : x)
    v = uniform(stream);
  return x;
}

struct Problem {
  bool layer = false;
  MultiHeadSizes sizes;
  AttentionOptions options;
};

double milliseconds(const Problem &p) {
  const AttentionShape &a = p.sizes.attention;
  const Index features = a.heads * a.key_size, tokens = a.batch * a.queries;
  const std::vector<float> x = random_numbers(tokens * features),
                           y = random_numbers(tokens * features),
                           z = random_numbers(tokens * features),
                           w = random_numbers(features * features), b = random_numbers(features);
  std::vector<float> out(x.size());
  const HeadView<const float> q{x.data(), a.queries * features, features, a.key_size};
  const HeadView<const float> k{y.data(), a.queries * features, features, a.key_size};
  const HeadView<const float> v{z.data(), a.queries * features, features, a.key_size};
  const Dense<const float> dense{w.data(), b.data()};
  const auto start = std::chrono::steady_clock::now();
  if (p.layer)
    multi_head_attention_forward_naive<float>(p.sizes, {x.data(), x.data(), x.data()},
                                              {dense, dense, {}, dense, dense}, p.options,
                                              out.data(), nullptr);
  else
    attention_forward_naive<float>(a, q, k, v, p.options,
                                   {out.data(), a.queries * features, features, a.key_size},
                                   nullptr, nullptr);
  const auto spent = std::chrono::steady_clock::now() - start;
  if (!std::isfinite(out[0])) // the result is used, or the work could be dropped
    std::abort();
  return std::chrono::duration<double, std::milli>(spent).count();
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 7)
    return 2;
  Problem p;
  p.layer = std::strcmp(argv[1], "layer") == 0;
  AttentionShape &a = p.sizes.attention;
  a.batch = std::atoi(argv[2]);
  a.queries = a.keys = std::atoi(argv[3]);
  a.heads = a.groups = std::atoi(argv[4]);
  a.key_size = a.value_size = std::atoi(argv[5]);
  a.free = 1;
  p.sizes.query_features = p.sizes.key_features = p.sizes.value_features =
      p.sizes.output_features = a.heads * a.key_size;
  p.options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));
  p.options.mask.causal = std::strcmp(argv[6], "causal") == 0;
  p.options.mask.queries = p.options.mask.keys = a.queries;
  std::printf("%.3f\n", milliseconds(p));
}

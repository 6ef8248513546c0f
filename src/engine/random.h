// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw
// 2011, "Parallel random numbers: as easy as 1, 2, 3"). There is no state:
// number i of a stream is a pure function of (key, stream, i), so it is the
// same for any number of threads, in any order, and on every platform.
//
// The bits and the uniforms in [0, 1) are equal everywhere. Normals go through
// the platform's log(), sin() and cos(), whose last bit may differ: they agree
// to 4 eps of their own size.
#pragma once

#include <array>

#include "parallel.h"
#include "tensor.h"

namespace attentive {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// One block: 128 random bits for a 128-bit counter under a 64-bit key.
inline PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u; // golden ratio, sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// Block `block` of stream `stream`: its counter is the two numbers side by
// side, low words first.
inline PhiloxCounter random_block(std::uint64_t key, std::uint64_t stream, std::uint64_t block) {
  return philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                     static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
                    {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
}

// A key that belongs to `child` of `key`: for what needs streams of its own.
inline std::uint64_t derive_key(std::uint64_t key, std::uint64_t child) {
  const PhiloxCounter bits = random_block(key, ~std::uint64_t{0}, child);
  return bits[0] | static_cast<std::uint64_t>(bits[1]) << 32;
}

// The 53 bits of a double in [0, 1), from two words.
inline double uniform_from_words(std::uint32_t low, std::uint32_t high) {
  const std::uint64_t bits = low | static_cast<std::uint64_t>(high) << 32;
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// Number i of the stream, uniform in [0, 1).
double random_uniform(std::uint64_t key, std::uint64_t stream, std::uint64_t i);
// Number i of the stream, normal with mean 0 and standard deviation 1.
double random_normal(std::uint64_t key, std::uint64_t stream, std::uint64_t i);
// The same, given that it lies within two standard deviations; i < 2^48.
double random_truncated_normal(std::uint64_t key, std::uint64_t stream, std::uint64_t i);

// out[n] = numbers 0 ... n - 1 of the stream, computed in double and rounded
// once. Uniform between low and high; an end can be met by rounding.
template <class T>
void fill_uniform(std::uint64_t key, std::uint64_t stream, double low, double high, T *out, Index n,
                  const Execution &execution = Execution());
template <class T>
void fill_normal(std::uint64_t key, std::uint64_t stream, double mean, double sd, T *out, Index n,
                 const Execution &execution = Execution());
// Normal, redrawn until it lies within two standard deviations of the mean.
// `sd` is that of the normal before truncation.
template <class T>
void fill_truncated_normal(std::uint64_t key, std::uint64_t stream, double mean, double sd, T *out,
                           Index n, const Execution &execution = Execution());

} // namespace attentive

// Sums of exponentials of logits, scaled by that of the largest, for logsumexp.

#ifndef KEYTOKENS_EXPONENTIALS_H_
#define KEYTOKENS_EXPONENTIALS_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "product.h"
#include "vector_math.h"

namespace keytokens {

constexpr float kLowest = std::numeric_limits<float>::lowest();

// Logits scaled and capped as in result.py, as powers of two.
struct Scaling {
  float scale, softcap;  // no cap where it is 0

  KEYTOKENS_INLINE Floats operator()(Floats logits) const {
    constexpr float kLog2E = 1.44269504f;
    if (softcap == 0) return logits * Set(scale * kLog2E);
    // tanh x = 1 - 2 / (e^2x + 1); -inf, which marks masked tokens, stays.
    const Floats power = Exp2(logits * Set(2 * scale / softcap * kLog2E));
    const Floats capped = (Set(-2.0f) / (power + Set(1.0f)) + Set(1.0f)) * Set(softcap * kLog2E);
    return Select(Equal(logits, Set(-INFINITY)), logits, capped);
  }
};

class Exponentials {
 public:
  float largest() const { return largest_; }

  KEYTOKENS_LOOP void Add(const float* logits, const Scaling& scaling) {
    Floats powers[kVectors];
    uint32_t larger = 0;
    for (int j = 0; j < kVectors; j++) {
      powers[j] = scaling(Load(logits + kLanes * j));
      larger |= Bits(Greater(powers[j], Set(largest_)));
    }
    Floats sums = Load(sums_);
    if (__builtin_expect(larger, 0)) {
      Floats most = Set(largest_);
      for (int j = 0; j < kVectors; j++) most = Max(powers[j], most);  // a NaN, in first place, is passed over
      const float largest = Largest(most);
      sums = sums * Exp2(Set(largest_ - largest));
      largest_ = largest;
    }
    for (int j = 0; j < kVectors; j++) sums = sums + Exp2(powers[j] - Set(largest_));
    Store(sums_, sums);
  }

  // The sum, scaled by another number, which is no less than the largest.
  double Sum(float scaled_by) const {
    double sum = 0;
    for (float one : sums_) sum += one;
    return sum * std::exp2(static_cast<double>(largest_) - scaled_by);
  }

 private:
  float largest_ = kLowest;
  alignas(64) float sums_[kLanes] = {};
};

}  // namespace keytokens

#endif  // KEYTOKENS_EXPONENTIALS_H_

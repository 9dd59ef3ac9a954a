// Sums of exponentials of logits, scaled by that of the largest, for logsumexp.

#ifndef KEYTOKENS_EXPONENTIALS_H_
#define KEYTOKENS_EXPONENTIALS_H_

#include <cmath>
#include <cstdint>
#include <limits>

#include "product.h"
#include "vector_math.h"

#if defined(__x86_64__)
namespace keytokens {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prfchw,prefer-vector-width=512")

constexpr float kLowest = std::numeric_limits<float>::lowest();

// Logits scaled and capped as in result.py, as powers of two.
struct Scaling {
  float scale, softcap;  // no cap where it is 0

  __m512 operator()(__m512 logits) const {
    constexpr float kLog2E = 1.44269504f;
    if (softcap == 0) return _mm512_mul_ps(logits, _mm512_set1_ps(scale * kLog2E));
    // tanh x = 1 - 2 / (e^2x + 1); -inf, which marks masked tokens, stays.
    const __m512 power = Exp2(_mm512_mul_ps(logits, _mm512_set1_ps(2 * scale / softcap * kLog2E)));
    const __m512 rest = _mm512_div_ps(_mm512_set1_ps(-2.0f), _mm512_add_ps(power, _mm512_set1_ps(1.0f)));
    const __m512 capped = _mm512_mul_ps(_mm512_add_ps(rest, _mm512_set1_ps(1.0f)), _mm512_set1_ps(softcap * kLog2E));
    const __mmask16 masked = _mm512_cmp_ps_mask(logits, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ);
    return _mm512_mask_mov_ps(capped, masked, logits);
  }
};

class Exponentials {
 public:
  float largest() const { return largest_; }

  KEYTOKENS_LOOP void Add(const float* logits, const Scaling& scaling) {
    __m512 powers[kVectors];
    __mmask16 larger = 0;
    for (int j = 0; j < kVectors; j++) {
      powers[j] = scaling(_mm512_load_ps(logits + 16 * j));
      larger |= _mm512_cmp_ps_mask(powers[j], _mm512_set1_ps(largest_), _CMP_GT_OQ);
    }
    __m512 sums = _mm512_load_ps(sums_);
    if (__builtin_expect(larger, 0)) {
      __m512 most = _mm512_set1_ps(largest_);
      for (int j = 0; j < kVectors; j++) most = _mm512_max_ps(powers[j], most);  // a NaN, in first place, is passed over
      const float largest = _mm512_reduce_max_ps(most);
      sums = _mm512_mul_ps(sums, Exp2(_mm512_set1_ps(largest_ - largest)));
      largest_ = largest;
    }
    for (int j = 0; j < kVectors; j++)
      sums = _mm512_add_ps(sums, Exp2(_mm512_sub_ps(powers[j], _mm512_set1_ps(largest_))));
    _mm512_store_ps(sums_, sums);
  }

  // The sum, scaled by another number, which is no less than the largest.
  double Sum(float scaled_by) const {
    double sum = 0;
    for (float one : sums_) sum += one;
    return sum * std::exp2(static_cast<double>(largest_) - scaled_by);
  }

 private:
  float largest_ = kLowest;
  alignas(64) float sums_[16] = {};
};

#pragma GCC pop_options

}  // namespace keytokens
#endif

#endif  // KEYTOKENS_EXPONENTIALS_H_

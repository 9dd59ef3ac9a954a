// Float32 functions without branches or calls, so that loops over them become AVX-512 code.

#ifndef KEYTOKENS_VECTOR_MATH_H_
#define KEYTOKENS_VECTOR_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

namespace keytokens {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prefer-vector-width=512")

#define KEYTOKENS_INLINE inline __attribute__((always_inline))

// e^x within 2e-7 of it, 0 below -87; NaN stays.
KEYTOKENS_INLINE float Exp(float x) {
  const float clamped = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to a whole number
  const float whole = shifted - 12582912.0f;
  const float r = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  bits = (bits - 0x4B400000 + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  const float y = p * power;
  return x < -87.0f ? 0.0f : (x == x ? y : x);
}

KEYTOKENS_INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

// 0.5 x (1 + erf(x / sqrt 2)), within 1.5e-6. erf(z) is z P(z^2) / Q(z^2), a minimax fit on [-4, 4] within 3e-8.
KEYTOKENS_INLINE float Gelu(float x) {
  float z = x * 0.70710678f;
  z = z < -4.0f ? -4.0f : (z > 4.0f ? 4.0f : z);
  const float u = z * z;
  float p = 1.97481671e-6f;
  p = p * u + 2.88035696e-4f;
  p = p * u + 4.00351841e-3f;
  p = p * u + 5.34671016e-2f;
  p = p * u + 1.96246394e-1f;
  p = p * u + 1.12837898f;
  float q = 3.74804150e-5f;
  q = q * u + 1.21632309e-3f;
  q = q * u + 1.54441788e-2f;
  q = q * u + 1.16475323e-1f;
  q = q * u + 5.07249999e-1f;
  q = q * u + 1.0f;
  const float half = 0.5f * x;
  const float y = half * (z * p / q) + half;
  return x < -5.6568542f ? 0.0f : y;
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
KEYTOKENS_INLINE float GeluTanh(float x) { return x * Sigmoid(1.59576912f * (x + 0.044715f * x * x * x)); }

KEYTOKENS_INLINE float Silu(float x) { return x * Sigmoid(x); }

#pragma GCC pop_options

}  // namespace keytokens
#endif

#endif  // KEYTOKENS_VECTOR_MATH_H_

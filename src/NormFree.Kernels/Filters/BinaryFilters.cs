namespace NormFree.Kernels.Filters;

/// <summary>Binary filters as floats, for kernels that multiply.</summary>
public static unsafe class BinaryFilters
{
    /// <summary>Writes scale·sign for every weight.</summary>
    /// <param name="bank">Sizes.</param>
    /// <param name="signs">The packed signs, <see cref="FilterBank.SignWords"/> words.</param>
    /// <param name="scale">One factor per filter.</param>
    /// <param name="target">O × taps × I.</param>
    public static void Expand(in FilterBank bank, ulong* signs, float* scale, float* target)
    {
        for (var filter = 0; filter < bank.Out; filter++)
        {
            float plus = scale[filter], minus = -plus;
            for (var tap = 0; tap < bank.Taps; tap++, signs += bank.Words, target += bank.In)
                for (var channel = 0; channel < bank.In; channel++)
                    target[channel] = (signs[channel >> 6] >> (channel & 63) & 1) == 1 ? plus : minus;
        }
    }
}

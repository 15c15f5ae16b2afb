namespace NormFree.Kernels.Packed;

/// <summary>One of <see cref="SignEncoding"/>'s ways, to and from bits.</summary>
public unsafe interface ISignEncoder
{
    /// <summary>Writes up to 64 channels, and no byte more than they take.</summary>
    /// <param name="bits">Bit c is channel c's sign, 1 is +; those behind the last channel are 0.</param>
    /// <param name="channels">How many.</param>
    /// <param name="target">Where they begin.</param>
    static abstract void Write(ulong bits, int channels, byte* target);

    /// <summary>Reads what <see cref="Write"/> has written.</summary>
    static abstract ulong Read(byte* source, int channels);
}

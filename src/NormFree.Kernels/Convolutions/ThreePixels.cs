namespace NormFree.Kernels.Convolutions;

/// <summary>A vector for each of three pixels.</summary>
internal struct ThreePixels<TVector>(TVector all) where TVector : unmanaged
{
    public TVector A = all, B = all, C = all;
}

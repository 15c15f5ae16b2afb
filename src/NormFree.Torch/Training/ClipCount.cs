namespace NormFree.Torch.Training;

/// <summary>How many units a clipping looked at, and how many of them it clipped.</summary>
public readonly record struct ClipCount(long Units, long Clipped)
{
    /// <summary>Adds two counts.</summary>
    public static ClipCount operator +(ClipCount a, ClipCount b) => new(a.Units + b.Units, a.Clipped + b.Clipped);

    /// <summary>Share of clipped units, from 0 to 1; 0 where there are no units.</summary>
    public double Fraction => Units == 0 ? 0 : (double)Clipped / Units;
}

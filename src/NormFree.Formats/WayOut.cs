namespace NormFree.Formats;

/// <summary>The sentences that end most errors.</summary>
internal static class WayOut
{
    /// <summary>For a file that is cut short or damaged.</summary>
    public const string FetchAgain = "The file is cut short or damaged: fetch or write it again";
}

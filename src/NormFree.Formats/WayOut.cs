namespace NormFree.Formats;

/// <summary>The sentences that end most errors.</summary>
internal static class WayOut
{
    /// <summary>For a file that is cut short or damaged.</summary>
    public const string FetchAgain = "The file is cut short or damaged: fetch or write it again";

    /// <summary>For a file whose writer departs from the format.</summary>
    public const string WriteAgain = "The program that wrote it departs from the format: write it again with another";
}

namespace NormFree.Distributed;

/// <summary>Ranks cannot work together; the message says why, and what to do.</summary>
public sealed class DistributedException(string message) : Exception(message);

using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>Cuts a map's rows into tasks of equal size.</summary>
/// <param name="Rows">All rows.</param>
/// <param name="RowsPerTask">Those of a task; the last one may have fewer.</param>
internal readonly record struct RowCut(int Rows, int RowsPerTask)
{
    /// <summary>Tasks for each thread, where there are rows enough: what one finishes late, others make up for.</summary>
    private const int TasksOfThread = 4;

    /// <summary>Values that a task makes, in bytes: they should stay in the second-level cache for what reads them at once.</summary>
    private const int BytesOfTask = 64 << 10;

    /// <summary>How many tasks there are.</summary>
    public int Tasks => (Rows + RowsPerTask - 1) / RowsPerTask;

    /// <summary>Cuts by how many rows a task should have at most.</summary>
    public static RowCut Of(int rows, long most, int threads)
    {
        var shares = threads == 1 ? 1 : threads * TasksOfThread;
        return new RowCut(rows, (int)Math.Clamp(Math.Min(most, (rows + shares - 1) / shares), 1, rows));
    }

    /// <summary>Cuts a map that is made.</summary>
    public static RowCut OfBytes(MapSize size, int threads) => Of(size.Height, BytesOfTask / ((long)size.Width * size.Channels * sizeof(float)), threads);

    /// <summary>A task's rows.</summary>
    public (int First, int Count) this[int task] => (task * RowsPerTask, Math.Min(RowsPerTask, Rows - task * RowsPerTask));
}

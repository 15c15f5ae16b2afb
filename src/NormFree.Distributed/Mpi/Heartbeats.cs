using System.Runtime.InteropServices;

namespace NormFree.Distributed.Mpi;

/// <summary>The messages by which ranks tell that they are there: one double, how many sums a rank has asked for.</summary>
internal sealed unsafe class Heartbeats : IDisposable
{
    private readonly MpiCalls mpi;
    private readonly nint communicator;
    private readonly Liveness liveness;
    private readonly TimeSpan period;
    private readonly Line[] lines;
    private readonly double* values;
    private TimeSpan sent;

    /// <summary>One line to every rank that is watched.</summary>
    public Heartbeats(MpiCalls mpi, Liveness liveness, TimeSpan period)
    {
        (this.mpi, this.liveness, this.period) = (mpi, liveness, period);
        communicator = mpi.NewCommunicator();
        values = (double*)NativeMemory.AllocZeroed((nuint)liveness.Watched.Count * 2, sizeof(double));
        lines = [.. liveness.Watched.Select((rank, i) => new Line(rank, i))];
        foreach (var line in lines) line.Receiving = mpi.BeginReceive(In(line), line.Rank, communicator);
    }

    /// <summary>Hears who has sent something, and says that this rank is there where it is time.</summary>
    public void Exchange(TimeSpan now)
    {
        foreach (var line in lines) Hear(line, now);
        if (now - sent < period) return;
        sent = now;
        foreach (var line in lines) Say(line);
    }

    /// <summary>Gives up what is still under way.</summary>
    public void Dispose()
    {
        foreach (var line in lines) mpi.GiveUp(line.Receiving);
        NativeMemory.Free(values);
    }

    private void Hear(Line line, TimeSpan now)
    {
        while (mpi.IsDone(ref line.Receiving))
        {
            liveness.Heard(line.Rank, (long)*In(line), now);
            line.Receiving = mpi.BeginReceive(In(line), line.Rank, communicator);
        }
    }

    /// <summary>A rank that takes no messages gets no more of them.</summary>
    private void Say(Line line)
    {
        if (line.IsSending && !mpi.IsDone(ref line.Sending)) return;
        *Out(line) = liveness.Mine;
        line.Sending = mpi.BeginSend(Out(line), line.Rank, communicator);
        line.IsSending = true;
    }

    private double* In(Line line) => values + 2 * line.Index;

    private double* Out(Line line) => values + 2 * line.Index + 1;

    private sealed class Line(int rank, int index)
    {
        public int Rank => rank;

        public int Index => index;

        public nint Receiving;
        public nint Sending;
        public bool IsSending;
    }
}

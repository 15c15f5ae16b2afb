using System.Runtime.InteropServices;

namespace NormFree.Distributed.Mpi;

/// <summary>Exchanges heartbeats with the monitored ranks. A heartbeat is one double: <see cref="Liveness.Announced"/>.</summary>
internal sealed unsafe class Heartbeats : IDisposable
{
    private readonly MpiCalls mpi;
    private readonly nint communicator;
    private readonly Liveness liveness;
    private readonly TimeSpan period;
    private readonly Channel[] channels;
    private readonly double* values;
    private TimeSpan lastSent;

    /// <summary>Opens a channel to every peer of <paramref name="liveness"/>.</summary>
    public Heartbeats(MpiCalls mpi, Liveness liveness, TimeSpan period)
    {
        (this.mpi, this.liveness, this.period) = (mpi, liveness, period);
        communicator = mpi.NewCommunicator();
        values = (double*)NativeMemory.AllocZeroed((nuint)liveness.Peers.Count * 2, sizeof(double));
        channels = [.. liveness.Peers.Select((rank, i) => new Channel(rank, values + 2 * i))];
        foreach (var channel in channels) channel.Receiving = mpi.BeginReceive(channel.Input, channel.Rank, communicator);
    }

    /// <summary>Records the heartbeats that have arrived, and sends one to every peer once per period.</summary>
    public void Exchange(TimeSpan now)
    {
        foreach (var channel in channels) Receive(channel, now);
        if (now - lastSent < period) return;
        lastSent = now;
        foreach (var channel in channels) Send(channel);
    }

    /// <summary>Cancels the open receives.</summary>
    public void Dispose()
    {
        foreach (var channel in channels) mpi.Cancel(channel.Receiving);
        NativeMemory.Free(values);
    }

    private void Receive(Channel channel, TimeSpan now)
    {
        while (mpi.IsDone(ref channel.Receiving))
        {
            liveness.Record(channel.Rank, (long)*channel.Input, now);
            channel.Receiving = mpi.BeginReceive(channel.Input, channel.Rank, communicator);
        }
    }

    /// <summary>Skips a peer that has not yet taken the previous heartbeat.</summary>
    private void Send(Channel channel)
    {
        if (channel.IsSending && !mpi.IsDone(ref channel.Sending)) return;
        *channel.Output = liveness.Announced;
        channel.Sending = mpi.BeginSend(channel.Output, channel.Rank, communicator);
        channel.IsSending = true;
    }

    private sealed class Channel(int rank, double* buffer)
    {
        public int Rank => rank;

        public double* Input => buffer;

        public double* Output => buffer + 1;

        public nint Receiving;
        public nint Sending;
        public bool IsSending;
    }
}

using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using NormFree.Formats.Protobuf;

namespace NormFree.Formats.TensorBoard;

/// <summary>An event file of TensorBoard, which grows by one record for each value.</summary>
/// <remarks>
/// A record is the length of its event (8 bytes), the masked CRC-32C of the length, the event and the masked CRC-32C of the event (TensorFlow's
/// <c>record_writer.cc</c>). Events follow <c>event.proto</c> and <c>summary.proto</c>; their times are seconds since 1970 with fractions.
/// Each record is appended at once, so that a process that is killed loses none and other programs can read along.
/// </remarks>
public sealed class EventFile
{
    private const int Buckets = 30;
    private const uint MaskDelta = 0xa282ead8;
    private static int files;
    private readonly string path;

    /// <summary>Creates a file with a name of its own in a folder, which is created if it does not exist.</summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It is not writable.</exception>
    public EventFile(string folder)
    {
        Directory.CreateDirectory(folder);
        long seconds = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        string number = string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}.{Interlocked.Increment(ref files)}");
        path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"events.out.tfevents.{seconds:D10}.{Environment.MachineName}.{number}"));
        var first = Event();
        first.Text(3, "brain.Event:2");
        Append(first);
    }

    /// <summary>Adds one number.</summary>
    /// <param name="tag">The name of its chart.</param>
    /// <param name="value">The number.</param>
    /// <param name="step">Its step.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void AddScalar(string tag, float value, long step)
    {
        var summary = new ProtobufMessage();
        summary.Text(1, tag);
        summary.Single(2, value);
        Append(summary, step);
    }

    /// <summary>Adds the counts of numbers in 30 equal parts of a range.</summary>
    /// <param name="tag">The name of its chart.</param>
    /// <param name="values">The numbers, at least one; those outside the range count in its first or last part.</param>
    /// <param name="low">The start of the range.</param>
    /// <param name="high">The end of the range.</param>
    /// <param name="step">Its step.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void AddHistogram(string tag, ReadOnlySpan<double> values, double low, double high, long step)
    {
        double sum = 0, squares = 0, least = double.MaxValue, most = double.MinValue;
        double[] counts = new double[Buckets];
        foreach (double value in values)
        {
            sum += value;
            squares += value * value;
            least = Math.Min(least, value);
            most = Math.Max(most, value);
            counts[Math.Clamp((int)((value - low) / (high - low) * Buckets), 0, Buckets - 1)]++;
        }

        double[] limits = new double[Buckets];
        for (int i = 0; i < Buckets; i++)
            limits[i] = low + ((high - low) * (i + 1) / Buckets);
        var histogram = new ProtobufMessage();
        histogram.Double(1, least);
        histogram.Double(2, most);
        histogram.Double(3, values.Length);
        histogram.Double(4, sum);
        histogram.Double(5, squares);
        histogram.Doubles(6, limits);
        histogram.Doubles(7, counts);
        var summary = new ProtobufMessage();
        summary.Text(1, tag);
        summary.Message(5, histogram);
        Append(summary, step);
    }

    /// <summary>An event with the present time.</summary>
    private static ProtobufMessage Event()
    {
        var message = new ProtobufMessage();
        message.Double(1, (DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds);
        return message;
    }

    private void Append(ProtobufMessage value, long step)
    {
        var summary = new ProtobufMessage();
        summary.Message(1, value);
        var message = Event();
        message.Integer(2, step);
        message.Message(5, summary);
        Append(message);
    }

    private void Append(ProtobufMessage message)
    {
        using var data = new MemoryStream();
        message.WriteTo(data);
        byte[] record = new byte[12 + data.Length + 4];
        BinaryPrimitives.WriteInt64LittleEndian(record, data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(8), MaskedChecksum(record.AsSpan(0, 8)));
        data.ToArray().CopyTo(record, 12);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(record.Length - 4), MaskedChecksum(record.AsSpan(12, (int)data.Length)));
        using var file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite);
        file.Write(record);
    }

    private static uint MaskedChecksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
            crc = BitOperations.Crc32C(crc, value);
        crc = ~crc;
        return ((crc >> 15) | (crc << 17)) + MaskDelta;
    }
}

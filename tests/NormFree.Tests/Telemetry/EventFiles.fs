/// An independent reader of TensorBoard's event files that verifies every checksum.
module NormFree.Tests.Telemetry.EventFiles

open System
open System.IO
open Expecto
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

/// One value of an event.
type Shown = { Tag: string; Step: int64; Value: Tensorboard.Summary.Types.Value }

/// CRC-32C, bit by bit.
let private crc (bytes: byte[]) =
    let mutable sum = 0xffffffffu

    for b in bytes do
        sum <- sum ^^^ uint32 b

        for _ in 1..8 do
            sum <- (sum >>> 1) ^^^ (if sum &&& 1u = 1u then 0x82f63b78u else 0u)

    ~~~sum

let private masked bytes =
    let sum = crc bytes
    ((sum >>> 15) ||| (sum <<< 17)) + 0xa282ead8u

/// The events of a file: length, its checksum, event, its checksum.
let private events path =
    use reader = new BinaryReader(File.OpenRead path)

    [ while reader.BaseStream.Position < reader.BaseStream.Length do
          let length = reader.ReadBytes 8
          Expect.equal (reader.ReadUInt32()) (masked length) $"{path}: the checksum of a length"
          let data = reader.ReadBytes(int (BitConverter.ToInt64(length, 0)))
          Expect.equal (reader.ReadUInt32()) (masked data) $"{path}: the checksum of an event"
          let event = Tensorboard.Event.Parser.ParseFrom data
          let age = (DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds - event.WallTime
          Expect.isTrue (age >= 0.0 && age < 86400.0) $"{path}: the wall time {event.WallTime} in seconds since 1970"
          event ]

/// Whole seconds by chance: one event in ten million.
let private hasFractions (events: Tensorboard.Event list) =
    events |> List.forall (fun event -> event.WallTime % 1.0 <> 0.0)

/// A run's logged values, by stage.
let read (run: RunFolder) : (string * Shown list) list =
    [ for folder in Directory.GetDirectories run.TensorBoard |> Array.sort ->
          string (Path.GetFileName folder),
          [ for path in Directory.GetFiles folder |> Array.sort do
                let events = events path
                Expect.isTrue (hasFractions events) $"{path}: wall times with fractions"

                for event in events do
                    match event.Summary with
                    | null -> Expect.equal event.FileVersion "brain.Event:2" $"{path}: its first event"
                    | summary ->
                        for value in summary.Value do
                            { Tag = value.Tag; Step = event.Step; Value = value } ] ]

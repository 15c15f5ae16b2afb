/// TensorBoard's event files, read back by a reader of our own that checks every sum.
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

/// The events of a file: length, its sum, event, its sum.
let private events path =
    use reader = new BinaryReader(File.OpenRead path)

    [ while reader.BaseStream.Position < reader.BaseStream.Length do
          let length = reader.ReadBytes 8
          Expect.equal (reader.ReadUInt32()) (masked length) $"{path}: the sum of a length"
          let data = reader.ReadBytes(int (BitConverter.ToInt64(length, 0)))
          Expect.equal (reader.ReadUInt32()) (masked data) $"{path}: the sum of an event"
          Tensorboard.Event.Parser.ParseFrom data ]

/// What a run shows, by stage.
let read (run: RunFolder) : (string * Shown list) list =
    [ for folder in Directory.GetDirectories run.TensorBoard |> Array.sort ->
          string (Path.GetFileName folder),
          [ for path in Directory.GetFiles folder |> Array.sort do
                for event in events path do
                    match event.Summary with
                    | null -> Expect.equal event.FileVersion "brain.Event:2" $"{path}: its first event"
                    | summary ->
                        for value in summary.Value do
                            { Tag = value.Tag; Step = event.Step; Value = value } ] ]

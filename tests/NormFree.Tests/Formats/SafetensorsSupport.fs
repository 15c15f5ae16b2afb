/// Safetensors files in memory.
module NormFree.Tests.Formats.SafetensorsSupport

open System
open System.Buffers.Binary
open System.IO
open System.Runtime.InteropServices
open System.Text
open Expecto
open FsCheck
open NormFree.Formats
open NormFree.Formats.Safetensors

let bytesOf (writer: SafetensorsWriter) =
    use stream = new MemoryStream()
    writer.Write stream
    stream.ToArray()

let add name dtype (shape: int64 list) (bytes: byte[]) (writer: SafetensorsWriter) =
    writer.Add(name, dtype, ReadOnlySpan(Array.ofList shape), ReadOnlyMemory bytes)

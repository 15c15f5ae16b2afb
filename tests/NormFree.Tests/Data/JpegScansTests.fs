/// JPEGs of several scans that are cut between two scans.
module NormFree.Tests.Data.JpegScansTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private progressive =
    lazy File.ReadAllBytes(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "images", "progressive.jpg"))

/// The positions of a marker.
let private positions marker (bytes: byte[]) =
    [ for at in 0 .. bytes.Length - 2 do
          if bytes[at] = 0xFFuy && bytes[at + 1] = marker then
              at ]

let private closed (bytes: byte[]) at = Array.append (Array.truncate at bytes) [| 0xFFuy; 0xD9uy |]

/// A JPEG of one grey block with these scans: (first coefficient, last, lowest bit).
let private ofScans frame (scans: (byte * byte * byte) list) =
    let scan (first, last, bits) = [| 0xFFuy; 0xDAuy; 0uy; 8uy; 1uy; 1uy; 0uy; first; last; bits; 1uy; 2uy |]

    let header =
        [| 0xFFuy; 0xD8uy; 0xFFuy; frame; 0uy; 11uy; 8uy; 0uy; 8uy; 0uy; 8uy; 1uy; 1uy; 0x11uy; 0uy |]

    Array.concat [ header; Array.collect scan (Array.ofList scans); [| 0xFFuy; 0xD9uy |] ]

let tests =
    testList
        "JPEG scans"
        [ test "a progressive JPEG cut at any scan boundary is incomplete" {
              let bytes = progressive.Value
              let scans = positions 0xDAuy bytes
              Expect.isGreaterThan scans.Length 5 "scans"

              for at in scans do
                  contains [ "truncated"; "ends early" ] (error (Decode.image (closed bytes at)))

              Decode.image bytes |> ok |> ignore
          }

          test "a cut before the tables of the next scan is incomplete too" {
              let bytes = progressive.Value

              for at in List.tail (positions 0xC4uy bytes) do
                  contains [ "truncated"; "ends early" ] (error (Decode.image (closed bytes at)))
          }

          test "a progressive JPEG that lacks data at the end of any scan is incomplete" {
              let bytes = progressive.Value
              let ends = (JpegScans.read bytes).ScanEnds
              Expect.equal ends.Length (positions 0xDAuy bytes).Length "scans"

              for at in ends do
                  contains [ "truncated"; "ends early" ] (error (Decode.image (Array.removeAt (at - 1) bytes)))
          }

          for what, scans, isIncomplete in
              [ "every coefficient to the last bit", [ 0uy, 0uy, 0uy; 1uy, 63uy, 0uy ], false
                "bits that are refined",
                [ 0uy, 0uy, 1uy; 1uy, 63uy, 2uy; 1uy, 63uy, 0x21uy; 0uy, 0uy, 0x10uy; 1uy, 63uy, 0x10uy ],
                false
                "bits that are not refined", [ 0uy, 0uy, 0uy; 1uy, 63uy, 1uy ], true
                "a band that is missing", [ 0uy, 0uy, 0uy; 1uy, 5uy, 0uy ], true
                "only averages", [ 0uy, 0uy, 0uy ], true ] do
              test $"a progressive JPEG with {what}" {
                  Expect.equal (JpegScans.read (ofScans 0xC2uy scans)).LacksScans isIncomplete "lacks scans"
              }

          test "a baseline JPEG of one scan is complete" {
              Expect.isFalse (JpegScans.read (ofScans 0xC0uy [ 0uy, 63uy, 0uy ])).LacksScans "lacks scans"
          } ]

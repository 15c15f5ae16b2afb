/// The data sets that can be downloaded.
module NormFree.Tests.Data.RemoteDatasetTests

open System
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let tests =
    [ test "find the official files by name, and their mirrors" {
          let cifar = (Option.get (RemoteDatasets.tryFind "cifar10")).Files.Head
          Expect.equal cifar.Md5 "c32a1d4ab5d03f1284b67883e8d87530" "checksum"

          Expect.equal
              (string (RemoteDatasets.fromMirror (Uri "http://host/a/b") cifar).Address)
              "http://host/a/b/cifar-10-binary.tar.gz"
              "a mirror"

          Expect.isNone (RemoteDatasets.tryFind "imagenet") "unknown name"
      }

      test "cover every data set with files of its own, with checksums, licences and addresses" {
          Expect.equal
              [ for dataset in RemoteDatasets.all -> dataset.Name ]
              [ "cifar10"; "cifar100"; "mnist"; "fashion-mnist"; "emnist" ]
              "names"

          for dataset in RemoteDatasets.all do
              Expect.isNotEmpty dataset.Licence "licence"

              for file in dataset.Files do
                  Expect.isTrue (file.Md5.Length = 32 && file.Bytes > 4000L) $"{file.FileName}: checksum and size"

                  for address in file.Address :: file.Mirrors do
                      Expect.stringEnds (string address) ("/" + file.FileName) "address"
      } ]

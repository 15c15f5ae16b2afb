using System.Text;

namespace NormFree.Distributed.Mpi;

/// <summary>The few functions of MPI that are called, with Open MPI's arguments. All calls come from one thread.</summary>
internal sealed unsafe class MpiCalls(MpiLibrary library)
{
    private const int Funneled = 1, LongestError = 1024;

    private readonly nint world = library["ompi_mpi_comm_world"];
    private readonly nint sum = library["ompi_mpi_op_sum"];
    private readonly nint float32 = library["ompi_mpi_float"];
    private readonly nint float64 = library["ompi_mpi_double"];
    private readonly nint errorsReturn = library["ompi_mpi_errors_return"];

    private readonly delegate* unmanaged<void*, void*, int, int*, int> initThread = (delegate* unmanaged<void*, void*, int, int*, int>)library["MPI_Init_thread"];
    private readonly delegate* unmanaged<nint, int*, int> commSize = (delegate* unmanaged<nint, int*, int>)library["MPI_Comm_size"];
    private readonly delegate* unmanaged<nint, int*, int> commRank = (delegate* unmanaged<nint, int*, int>)library["MPI_Comm_rank"];
    private readonly delegate* unmanaged<nint, nint*, int> commDup = (delegate* unmanaged<nint, nint*, int>)library["MPI_Comm_dup"];
    private readonly delegate* unmanaged<nint, nint, int> setErrhandler = (delegate* unmanaged<nint, nint, int>)library["MPI_Comm_set_errhandler"];
    private readonly delegate* unmanaged<nint, nint, int, nint, nint, nint, nint*, int> iallreduce = (delegate* unmanaged<nint, nint, int, nint, nint, nint, nint*, int>)library["MPI_Iallreduce"];
    private readonly delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int> isend = (delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int>)library["MPI_Isend"];
    private readonly delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int> irecv = (delegate* unmanaged<void*, int, nint, int, int, nint, nint*, int>)library["MPI_Irecv"];
    private readonly delegate* unmanaged<nint*, int*, void*, int> test = (delegate* unmanaged<nint*, int*, void*, int>)library["MPI_Test"];
    private readonly delegate* unmanaged<nint*, int> cancel = (delegate* unmanaged<nint*, int>)library["MPI_Cancel"];
    private readonly delegate* unmanaged<nint*, int> requestFree = (delegate* unmanaged<nint*, int>)library["MPI_Request_free"];
    private readonly delegate* unmanaged<int, byte*, int*, int> errorString = (delegate* unmanaged<int, byte*, int*, int>)library["MPI_Error_string"];
    private readonly delegate* unmanaged<nint, int, int> abort = (delegate* unmanaged<nint, int, int>)library["MPI_Abort"];
    private readonly delegate* unmanaged<int> finalize = (delegate* unmanaged<int>)library["MPI_Finalize"];

    /// <summary>Starts MPI on this thread, which alone may call it from now on. Errors are returned instead of ending the process.</summary>
    public void Init()
    {
        int provided;
        Check(initThread(null, null, Funneled, &provided), "MPI_Init_thread");
        Check(setErrhandler(world, errorsReturn), "MPI_Comm_set_errhandler");
    }

    /// <summary>How many ranks there are, and which one this is.</summary>
    public (int Size, int Rank) Place()
    {
        int size, rank;
        Check(commSize(world, &size), "MPI_Comm_size");
        Check(commRank(world, &rank), "MPI_Comm_rank");
        return (size, rank);
    }

    /// <summary>A communicator of all ranks in which messages are apart from those of others.</summary>
    public nint NewCommunicator()
    {
        nint made;
        Check(commDup(world, &made), "MPI_Comm_dup");
        Check(setErrhandler(made, errorsReturn), "MPI_Comm_set_errhandler");
        return made;
    }

    /// <summary>Begins a sum over all ranks.</summary>
    /// <remarks>Not in place: then Open MPI would send everything through a tree instead of in pieces.</remarks>
    public nint BeginSum(nint values, nint sums, int count, NumberType type, nint communicator)
    {
        nint request;
        var ofType = type == NumberType.Float32 ? float32 : float64;
        Check(iallreduce(values, sums, count, ofType, sum, communicator, &request), "MPI_Iallreduce");
        return request;
    }

    /// <summary>Begins to send one double.</summary>
    public nint BeginSend(double* value, int rank, nint communicator)
    {
        nint request;
        Check(isend(value, 1, float64, rank, 0, communicator, &request), "MPI_Isend");
        return request;
    }

    /// <summary>Begins to receive one double.</summary>
    public nint BeginReceive(double* value, int rank, nint communicator)
    {
        nint request;
        Check(irecv(value, 1, float64, rank, 0, communicator, &request), "MPI_Irecv");
        return request;
    }

    /// <summary>Whether something that was begun is done; gives MPI the time to work on all that is.</summary>
    public bool IsDone(ref nint request)
    {
        int done;
        fixed (nint* place = &request) Check(test(place, &done, null), "MPI_Test");
        return done != 0;
    }

    /// <summary>Gives up what was begun.</summary>
    public void GiveUp(nint request)
    {
        _ = cancel(&request);
        _ = requestFree(&request);
    }

    /// <summary>Ends all ranks.</summary>
    public void Abort(int code) => _ = abort(world, code);

    /// <summary>Ends MPI.</summary>
    public void End() => Check(finalize(), "MPI_Finalize");

    private void Check(int code, string function)
    {
        if (code == 0) return;
        byte* text = stackalloc byte[LongestError];
        int length;
        var what = errorString(code, text, &length) == 0 ? Encoding.UTF8.GetString(text, length) : $"error {code}";
        throw new DistributedException($"{function} has failed: {what}. The network between the nodes, or one of them, may be down.");
    }
}

using System.Text;

namespace NormFree.Distributed.Mpi;

/// <summary>The MPI functions that NormFree uses, with Open MPI's calling convention. All calls must come from one thread.</summary>
internal sealed unsafe class MpiCalls(MpiLibrary library)
{
    private const int Funneled = 1, MaxErrorLength = 1024;

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

    /// <summary>Initialises MPI on this thread; only this thread may call MPI afterwards. Errors are returned instead of killing the process.</summary>
    public void Init()
    {
        int provided;
        Check(initThread(null, null, Funneled, &provided), "MPI_Init_thread");
        Check(setErrhandler(world, errorsReturn), "MPI_Comm_set_errhandler");
    }

    /// <summary>The number of ranks and the index of this one.</summary>
    public (int Size, int Rank) SizeAndRank()
    {
        int size, rank;
        Check(commSize(world, &size), "MPI_Comm_size");
        Check(commRank(world, &rank), "MPI_Comm_rank");
        return (size, rank);
    }

    /// <summary>Creates a communicator of all ranks, whose messages do not mix with those of other communicators.</summary>
    public nint NewCommunicator()
    {
        nint created;
        Check(commDup(world, &created), "MPI_Comm_dup");
        Check(setErrhandler(created, errorsReturn), "MPI_Comm_set_errhandler");
        return created;
    }

    /// <summary>Starts a sum over all ranks.</summary>
    /// <remarks>Not in place: for in-place sums Open MPI sends whole buffers through a tree instead of splitting them.</remarks>
    public nint BeginSum(nint values, nint sums, int count, NumberType type, nint communicator)
    {
        nint request;
        var dataType = type == NumberType.Float32 ? float32 : float64;
        Check(iallreduce(values, sums, count, dataType, sum, communicator, &request), "MPI_Iallreduce");
        return request;
    }

    /// <summary>Starts sending one double.</summary>
    public nint BeginSend(double* value, int rank, nint communicator)
    {
        nint request;
        Check(isend(value, 1, float64, rank, 0, communicator, &request), "MPI_Isend");
        return request;
    }

    /// <summary>Starts receiving one double.</summary>
    public nint BeginReceive(double* value, int rank, nint communicator)
    {
        nint request;
        Check(irecv(value, 1, float64, rank, 0, communicator, &request), "MPI_Irecv");
        return request;
    }

    /// <summary>Whether an operation has completed. The call also lets MPI make progress on all open operations.</summary>
    public bool IsDone(ref nint request)
    {
        int done;
        fixed (nint* address = &request) Check(test(address, &done, null), "MPI_Test");
        return done != 0;
    }

    /// <summary>Cancels an operation.</summary>
    public void Cancel(nint request)
    {
        _ = cancel(&request);
        _ = requestFree(&request);
    }

    /// <summary>Kills all ranks.</summary>
    public void Abort(int code) => _ = abort(world, code);

    /// <summary>Shuts MPI down.</summary>
    public void Shutdown() => Check(finalize(), "MPI_Finalize");

    private void Check(int code, string function)
    {
        if (code == 0) return;
        byte* text = stackalloc byte[MaxErrorLength];
        int length;
        var reason = errorString(code, text, &length) == 0 ? Encoding.UTF8.GetString(text, length) : $"error {code}";
        throw new DistributedException($"{function} failed: {reason}. A node, or the network between the nodes, may be down.");
    }
}
